"""The steps that train a primary module, a head or a baseline."""
