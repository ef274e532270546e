"""The push: one version directory under the serving base directory, whole or not at all."""
