"""Sources that come and go while a pipeline is in use: one head more, or one less, by a run of the pipeline."""
