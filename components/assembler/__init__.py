"""The assembling step: the primary module and every blessed head become one servable."""
