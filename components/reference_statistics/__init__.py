"""The step that measures the images a servable was evaluated on, as monitoring measures requests."""
