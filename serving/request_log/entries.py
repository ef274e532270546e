"""One line of a request log: what it holds, how it is written and read."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from serving.request_log.columns import BANDS, ImageColumns


class MalformedLineError(ValueError):
    """A line that is none of a request log; the message says why."""


@dataclass(frozen=True)
class Answered:
    """What a servable answered for one image.

    Attributes:
        model: the model's name.
        version: its version; None where it is not known.
        fake_probability: 0..1.
        source_probabilities: the same for each source.
        verdict: as given.
    """

    model: str
    version: int | None
    fake_probability: float
    source_probabilities: Mapping[str, float]
    verdict: str


@dataclass(frozen=True)
class Entry:
    """One answered image.

    Attributes:
        time: when it was answered, UTC.
        image: what was measured of it.
        answer: what was answered.
        digest: SHA-256 of the image's bytes, hexadecimal, if the image was kept; else None.
    """

    time: datetime
    image: ImageColumns
    answer: Answered
    digest: str | None = None

    def to_line(self) -> str:
        """Returns one line of JSON, its end included. Whatever a client sent is ASCII inside JSON strings."""
        values: dict[str, Any] = {
            "time": self.time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            **asdict(self.answer),
            **asdict(self.image),
        }
        if self.digest is not None:
            values["image"] = self.digest
        return json.dumps(values, separators=(",", ":"), allow_nan=False) + "\n"


_COUNTS = ("height", "width", "jpeg_quality", "bytes", "version")
_IMAGE_FIELDS = tuple(field.name for field in fields(ImageColumns))


def parse_line(line: str) -> Entry:
    """Reads what `to_line` wrote. Keys that are not known are left alone: later releases may write more.

    Raises:
        MalformedLineError: if the line is cut off or damaged, or a value is not of its kind.
    """
    try:
        values = json.loads(line)
    except ValueError as error:
        raise MalformedLineError(f"is no JSON: {error}") from error
    if not isinstance(values, dict):
        raise MalformedLineError(f"is no JSON object but {type(values).__name__}")
    try:
        return _entry(values)
    except KeyError as error:
        raise MalformedLineError(f"lacks {error.args[0]}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise MalformedLineError(str(error)) from error


def _entry(values: Mapping[str, Any]) -> Entry:
    for name in _COUNTS:
        value = values[name]
        if value is not None and (type(value) is not int or value < 0):
            raise ValueError(f"{name}: must be a whole number of at least 0 or null, got {value!r}")
    for name in ("model", "verdict"):
        if not isinstance(values[name], str):
            raise TypeError(f"{name}: must be text, got {values[name]!r}")
    bands = values["log_dct_bands"]
    if bands is not None:
        if len(bands) != BANDS:
            raise ValueError(f"log_dct_bands: must hold {BANDS} numbers, got {len(bands)}")
        bands = tuple(_finite("log_dct_bands", band) for band in bands)
    answer = Answered(
        model=values["model"],
        version=values["version"],
        fake_probability=_finite("fake_probability", values["fake_probability"]),
        source_probabilities={
            str(name): _finite(f"source_probabilities.{name}", value)
            for name, value in values["source_probabilities"].items()
        },
        verdict=values["verdict"],
    )
    image = ImageColumns(
        **{name: values[name] for name in _IMAGE_FIELDS if name != "log_dct_bands"}, log_dct_bands=bands
    )
    return Entry(datetime.fromisoformat(values["time"]).astimezone(UTC), image, answer, values.get("image"))


def _finite(name: str, value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError(f"{name}: must be a number, got {value!r}")
    return number
