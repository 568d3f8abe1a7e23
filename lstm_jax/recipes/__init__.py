"""What a run does, from texts to result: one function each, read top to bottom."""
