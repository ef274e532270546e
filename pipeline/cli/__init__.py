"""The `genattr` command line."""
