"""What each library does, written as its own users would; one module per library.

A module has one function for each task it can do: `recurrence(case, problem)`, for instance. It
prepares everything that is not measured and returns a function without arguments that does the
work once, waits for its end, and returns its results as NumPy arrays by name.
"""
