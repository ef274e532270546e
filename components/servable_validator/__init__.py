"""Validation of an assembled servable over the wire."""
