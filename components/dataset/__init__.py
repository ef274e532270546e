"""From an image tree to a prepared dataset."""
