"""What the assembled servable says of perturbed copies: the primary module's answer and every head's."""
