"""The networks, in Keras 3, and how they decide."""
