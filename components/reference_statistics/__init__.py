"""Reference statistics of a servable, against which monitoring compares requests."""
