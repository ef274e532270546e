"""What a servable says of itself, read from its assets without loading it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from serving import contract
from serving.errors import ServableError
from serving.servable.acceptance import Acceptance, parse_acceptance
from serving.servable.versions import Version, find_version


@dataclass(frozen=True)
class ServableDescription:
    """What a servable says of itself.

    Attributes:
        version: where it lies.
        detection: operating point of the primary module, 0..1.
        sources: operating point of each head, in the order of the outputs.
        level: what its heads are named after: single sources ("instance") or architectures.
        size: height and width in pixels of the window that it looks at, None where it does not say.
        representation: what its models read, "" where it does not say.
        uncertain_band: lowest and highest fake probability at which its verdict is "uncertain", None without a band.
        acceptance: score and threshold from which on a fake image is of a known generator; None where each head's own
            operating point decides.
        stability: number of mild re-savings on which it judges each image again.
    """

    version: Version
    detection: float
    sources: dict[str, float]
    level: Literal["instance", "architecture"]
    size: int | None
    representation: str
    uncertain_band: tuple[float, float] | None = None
    acceptance: Acceptance | None = None
    stability: int = 0

    @property
    def can_be_uncertain(self) -> bool:
        """Whether "uncertain" is among its verdicts."""
        return self.uncertain_band is not None or self.stability > 0

    def in_words(self) -> str:
        """Returns one sentence."""
        window = f"a window of {self.size} x {self.size} pixels" if self.size else "windows of unknown size"
        read = f"{self.representation} input" if self.representation else "unknown input"
        said = f"Version {self.version.number}: {read}, {window}, heads: {', '.join(self.sources) or 'none'}"
        if self.acceptance is not None:
            said += f"; {self.acceptance.in_words()}"
        if self.stability:
            said += f"; uncertain where one of {self.stability} mild re-savings changes its mind"
        if self.uncertain_band is None:
            return f"{said}."
        lowest, highest = self.uncertain_band
        return f"{said}; uncertain from {lowest:g} to {highest:g}."


def describe(path: Path) -> ServableDescription:
    """Reads what a servable says of itself, without loading it.

    Raises:
        ServableError: if there is no servable, or its operating points are missing or damaged.
    """
    version = find_version(Path(path))
    file = version.path / contract.ASSET_OPERATING_POINTS
    again = "Export the servable again with this release."
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        points = [("detection", said["detection"]), *said["sources"].items()]
        if wrong := [name for name, value in points if not 0 <= float(value) <= 1]:
            raise ServableError(f"{file}: the operating point of '{wrong[0]}' must lie in 0..1. {again}")
        inputs = said.get("input", {})
        return ServableDescription(
            version=version,
            detection=float(said["detection"]),
            sources={str(name): float(value) for name, value in said["sources"].items()},
            level="architecture" if said.get("level") == "architecture" else "instance",
            size=int(inputs["size"]) if "size" in inputs else None,
            representation=str(inputs.get("representation", "")),
            uncertain_band=_band(said.get("uncertain_band")),
            acceptance=parse_acceptance(said.get("acceptance")),
            stability=int(said.get("stability", 0)),
        )
    except OSError as error:
        raise ServableError(f"{file}: cannot be read: {error.strerror or error}. {again}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ServableError(f"{file}: is damaged: {error}. {again}") from error


def _band(said: Any) -> tuple[float, float] | None:
    """Returns the band as the asset says it; raises ValueError or TypeError if it is none."""
    if said is None:
        return None
    lowest, highest = (float(value) for value in said)
    if not 0.0 <= lowest < highest <= 1.0:
        raise ValueError(f"uncertain_band must be two probabilities in 0..1, the lower first, got {said}")
    return lowest, highest
