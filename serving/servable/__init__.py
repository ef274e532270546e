"""A servable on disk and in memory: versions, signatures, execution."""
