"""Sweeps: many trials of what the tests try a few times; programs that pytest does not collect."""
