"""The thresholds of a servable, and the files in which they and its labels travel with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.features.names import AttributionLevel
from components.features.parameters import InputParameters
from serving import contract


@dataclass(frozen=True)
class OperatingPoints:
    """Thresholds on probabilities: at or above it, a model says yes.

    Attributes:
        detection: of the primary module, 0..1.
        sources: of each head, by the source's name; the order is the order of the servable's outputs.
    """

    detection: float
    sources: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError if a threshold lies outside 0..1."""
        for name, threshold in {"detection": self.detection, **self.sources}.items():
            if not 0.0 <= threshold <= 1.0:
                raise ValueError(f"operating point of '{name}': must lie in 0..1, got {threshold}.")

    def write(self, path: Path, inputs: InputParameters, level: AttributionLevel = "instance") -> None:
        """Writes the asset that tells a client what the servable holds.

        Args:
            path: file to write, JSON.
            inputs: what the models see.
            level: what the heads are named after: sources, or generator architectures.
        """
        content: dict[str, Any] = {
            "detection": self.detection,
            "sources": dict(self.sources),
            "level": level,
            "input": {
                "representation": inputs.representation,
                "size": inputs.size,
                "colour": inputs.colour,
            },
        }
        path.write_text(json.dumps(content, indent=2) + "\n")

    def write_label_map(self, path: Path) -> None:
        """Writes the asset that tells what numbers, columns and words of an answer stand for.

        Args:
            path: file to write, JSON: the labels of detection, the sources in the order of the columns, and every
                verdict that the servable can give.
        """
        sources = list(self.sources)
        # Nothing claims an image where there are no heads, so nothing can contradict.
        unclaimed = [contract.VERDICT_REAL, contract.VERDICT_UNKNOWN_GENERATOR]
        content = {
            "detection": {"real": contract.REAL_LABEL, "fake": contract.FAKE_LABEL},
            "sources": sources,
            "verdicts": [*unclaimed, *([contract.VERDICT_CONTRADICTION] if sources else []), *sources],
        }
        path.write_text(json.dumps(content, indent=2) + "\n")
