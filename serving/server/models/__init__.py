"""Models of the embedded server: loading, versions, batching, execution."""
