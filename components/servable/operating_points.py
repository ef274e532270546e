"""The thresholds of a servable, and the file in which they travel with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.features.names import AttributionLevel
from components.features.parameters import InputParameters


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
