"""The pipeline configuration: schema, validation, recipes."""
