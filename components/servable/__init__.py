"""The graph that is served, and how it is written."""
