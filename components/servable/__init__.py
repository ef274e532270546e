"""The served graph, and how it is written and imported."""
