"""Observation of a running server: metrics, access log and request log. Knows no model and no protocol."""
