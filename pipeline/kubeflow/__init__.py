"""Kubeflow Pipelines from outside: the pipeline compiled to a package, submitted once, scheduled."""
