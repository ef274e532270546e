"""Steps of the pipeline, each a directory with a `component.py`, and the libraries that they share."""
