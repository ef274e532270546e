"""Scores of a servable on perturbed copies."""
