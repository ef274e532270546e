"""Training data and licences of a servable, as its version directory states them in `contract.TRAINED_ON`.

TF Serving ignores the file. It is written when a version is pushed, so that weights never travel without the terms of
the images that they were learnt from.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serving import contract
from serving.errors import ServableError

FORMAT_VERSION = 1


@dataclass(frozen=True)
class TrainingSource:
    """One source of the images that a servable was trained on.

    Attributes:
        name: Name of the source.
        label: "real" or "fake".
        images: Number of its images in the train split.
        licence: Where its images come from and the terms that they stand under; None if nobody stated them.
    """

    name: str
    label: str
    images: int
    licence: str | None = None


@dataclass(frozen=True)
class TrainedOn:
    """Training data and licences of a servable.

    Attributes:
        pipeline: Name of the pipeline that trained it.
        recipe: Recipe of its configuration; None if that named none.
        date: Day of the push, in UTC, as YYYY-MM-DD.
        licence: Terms of the weights; None if nobody stated them.
        sources: Sources of the train split.
    """

    pipeline: str
    recipe: str | None
    date: str
    licence: str | None
    sources: tuple[TrainingSource, ...]

    @property
    def images(self) -> int:
        """Number of images in the train split."""
        return sum(source.images for source in self.sources)

    def in_words(self) -> str:
        """Return one clause without a full stop."""
        recipe = f" by recipe {self.recipe}" if self.recipe else ""
        return (
            f"trained on {self.images:,} images of {len(self.sources)} sources{recipe}, pushed {self.date}; "
            f"licence of the weights: {self.licence or 'not stated'}"
        )

    def to_json(self) -> str:
        """Return the content of the file."""
        return json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, indent=2) + "\n"


def read_trained_on(version: Path) -> TrainedOn | None:
    """Read the statement of a version directory; None where there is none, as in servables of earlier releases.

    Raises:
        ServableError: If it is damaged, or of a later format.
    """
    path = version / contract.TRAINED_ON
    if not path.is_file():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format_version") != FORMAT_VERSION:
            raise ServableError(f"{path}: must be of format {FORMAT_VERSION}. Read it with the release that wrote it.")
        return TrainedOn(**{**content, "sources": tuple(TrainingSource(**source) for source in content["sources"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ServableError(f"{path}: is damaged: {error}. Push the servable again with genattr run.") from error
