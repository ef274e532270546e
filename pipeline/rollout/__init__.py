"""Which pushed versions are served: labels promoted and rolled back in models.config, old versions removed."""
