"""The last check before a push: a fresh process serves the servable and is asked real questions."""
