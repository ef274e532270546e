"""Metrics, operating points, thresholds for blessing, plots and the report."""
