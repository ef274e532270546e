"""The networks, in Keras 3."""
