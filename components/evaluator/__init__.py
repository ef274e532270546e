"""Evaluator nodes: metrics, slices and gates of one model, and what an evaluation wrote."""
