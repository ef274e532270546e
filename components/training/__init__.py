"""Training of the primary module, the heads and the baselines, as a library."""
