"""The model card as a file of a servable: where it lies, and how it is written and read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CARD_FILE = "assets.extra/model_card.json"  # below the version directory; TF Serving does not look at it
FORMAT_VERSION = 1


def write_card(card: Mapping[str, Any], servable: Path) -> None:
    """Writes the card into a version directory."""
    path = servable / CARD_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(card, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_card(servable: Path) -> dict[str, Any] | None:
    """Reads the card of a version directory; None where there is none, as in servables of earlier releases.

    Raises:
        ValueError: if it is damaged, or of a later format.
    """
    path = servable / CARD_FILE
    if not path.is_file():
        return None
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: is damaged: {error}. Push the servable again with genattr run.") from error
    version = card.get("format_version") if isinstance(card, dict) else None
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{path}: must be of format {FORMAT_VERSION}, is of {version!r}. Read it with the release that wrote it."
        )
    return card
