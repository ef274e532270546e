"""The training steps and the one training loop under them."""
