"""Held-out images as they arrive after a life on the web: perturbed copies, on which a model is judged again."""
