"""Experiments: each a short file whose docstring is its record."""
