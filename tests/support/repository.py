"""Root of the repository that the tests belong to."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
