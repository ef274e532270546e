"""Metrics of scores: curves, operating points, calibration, intervals and open-set recognition."""
