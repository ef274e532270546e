"""The TFX graph: nodes, their names and their wiring."""
