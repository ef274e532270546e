"""The model card of a servable, for people and machines: read from the servable, completed from the metadata store."""
