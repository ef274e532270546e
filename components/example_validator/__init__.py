"""The gate on data: anomalies that matter stop the run."""
