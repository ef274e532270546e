"""Runs on this machine, and the report of a run."""
