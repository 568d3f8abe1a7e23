"""Side by side with other libraries: each in a process of its own, interleaved, as ratios."""
