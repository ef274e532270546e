"""The thresholds of a servable, and the files in which they and its labels travel with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.examples.names import AttributionLevel
from components.features.parameters import InputParameters
from serving import contract
from serving.servable.acceptance import Acceptance


@dataclass(frozen=True)
class OperatingPoints:
    """Thresholds on probabilities: at or above it, a model says yes.

    Attributes:
        detection: of the primary module, 0..1.
        sources: of each head, by the source's name; the order is the order of the servable's outputs.
        uncertain_band: lowest and highest probability of the primary module at which the verdict is "uncertain", both
            included; 0..1, the lower first. None: no image is uncertain.
        acceptance: score of all heads together, and the threshold from which on a fake image is attributed to a known
            generator. None: each head's own threshold decides.
        stability: number of mild re-savings on which each image is judged again, see components/servable/resaving.py.
    """

    detection: float
    sources: Mapping[str, float] = field(default_factory=dict)
    uncertain_band: tuple[float, float] | None = None
    acceptance: Acceptance | None = None
    stability: int = 0

    def __post_init__(self) -> None:
        """Raises ValueError if a threshold lies outside 0..1, or the band is none."""
        for name, threshold in {"detection": self.detection, **self.sources}.items():
            if not 0.0 <= threshold <= 1.0:
                raise ValueError(f"operating point of '{name}': must lie in 0..1, got {threshold}.")
        if self.uncertain_band is not None:
            lowest, highest = self.uncertain_band
            if not 0.0 <= lowest < highest <= 1.0:
                raise ValueError(
                    f"uncertain band: must be two probabilities in 0..1, the lower first, got {lowest} and {highest}."
                )

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
            **({"uncertain_band": list(self.uncertain_band)} if self.uncertain_band else {}),
            **({"acceptance": self.acceptance.to_json()} if self.acceptance else {}),
            **({"stability": self.stability} if self.stability else {}),
            "level": level,
            "input": {
                "representation": inputs.representation,
                "size": inputs.size,
                "colour": inputs.colour,
                **({"views": inputs.views} if inputs.views else {}),
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
        reserved = [contract.VERDICT_REAL, contract.VERDICT_UNKNOWN_GENERATOR]
        if sources:
            reserved.append(contract.VERDICT_CONTRADICTION)
        if self.uncertain_band or self.stability:
            reserved.append(contract.VERDICT_UNCERTAIN)
        content = {
            "detection": {"real": contract.REAL_LABEL, "fake": contract.FAKE_LABEL},
            "sources": sources,
            "verdicts": [*reserved, *sources],
        }
        path.write_text(json.dumps(content, indent=2) + "\n")
