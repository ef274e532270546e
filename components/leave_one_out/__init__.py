"""The step that leaves each source out in turn, and scores it as an unknown generator."""
