"""A servable on disk and in memory: versions, description, signatures, tensors of its requests, execution."""
