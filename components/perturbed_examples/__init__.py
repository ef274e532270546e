"""Perturbed copies of held-out images."""
