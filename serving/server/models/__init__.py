"""Loaded models: which versions are in memory, how requests are batched, and the engine that both protocols call."""
