"""Packaging entry point; what is not declared here is declared in pyproject.toml."""

from setuptools import find_packages, setup

# The folder `models` holds no code: it is installed under a name of ours, beside the packages.
MODELS = "generator_attribution_models"

setup(
    packages=[*find_packages(include=["pipeline*", "components*", "serving*"]), MODELS],
    package_dir={MODELS: "models"},
)
