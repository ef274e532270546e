"""The demonstration images: a simulated camera and small generators."""
