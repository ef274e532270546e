"""Everything that is decided before a server starts: its options, and TF Serving's configuration files."""
