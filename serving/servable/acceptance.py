"""The acceptance threshold of a servable, as `operating_points.json` holds it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import contract

HIGHEST_HEAD = "highest_head"
MAX_LOGIT = "max_logit"
ENERGY = "energy"
SCORES = (HIGHEST_HEAD, MAX_LOGIT, ENERGY)

_NAMES = {HIGHEST_HEAD: "highest probability of all heads", MAX_LOGIT: "highest head logit", ENERGY: "energy of heads"}


@dataclass(frozen=True)
class Acceptance:
    """The rule by which a fake image counts as one of a known generator.

    Attributes:
        score: "highest_head", "max_logit" or "energy", of the probabilities of all heads.
        threshold: Score from which on a fake image is of a known generator: 0..1 for "highest_head", else a logit.
            None: none could be chosen, and each head's own operating point decides.
        known_rejection: Largest share of the eval split's images of known generators that may fall below the
            threshold; None where it is not recorded.
        note: Reason why there is no threshold; "" where there is one.
    """

    score: str
    threshold: float | None
    known_rejection: float | None = None
    note: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError if there is no such score, or its threshold is out of range."""
        if self.score not in SCORES:
            raise ValueError(f"acceptance score must be one of {', '.join(SCORES)}, got {self.score!r}")
        if self.known_rejection is not None and not 0.0 < self.known_rejection < 1.0:
            raise ValueError(f"acceptance known_rejection must lie between 0 and 1, got {self.known_rejection}")
        if self.threshold is None:
            return
        if self.score == HIGHEST_HEAD and not 0.0 <= self.threshold <= 1.0:
            raise ValueError(f"acceptance must be a probability in 0..1, got {self.threshold}")
        if not math.isfinite(self.threshold):
            raise ValueError(f"acceptance threshold must be finite, got {self.threshold}")

    def to_json(self) -> float | dict[str, Any]:
        """Return plain values; a threshold of "highest_head" is the bare number that earlier releases wrote."""
        if self.score == HIGHEST_HEAD and self.threshold is not None:
            return self.threshold
        content = {"score": self.score, "threshold": self.threshold, "known_rejection": self.known_rejection}
        return {**content, **({"note": self.note} if self.note else {})}

    def in_words(self) -> str:
        """Return a clause without a full stop."""
        if self.threshold is None:
            return f"no acceptance threshold ({self.note or 'none could be chosen'})"
        if self.score == HIGHEST_HEAD:
            return f"unknown generator below {self.threshold:.3g} of every head"
        known = f" (known rejection {self.known_rejection:g})" if self.known_rejection is not None else ""
        return f"unknown generator below {self.threshold:.3g} of {self.score}, the {_NAMES[self.score]}{known}"


def read_acceptance(version: Path) -> Acceptance | None:
    """Read the acceptance threshold of a version directory; None where none was configured."""
    content = json.loads((version / contract.ASSET_OPERATING_POINTS).read_text(encoding="utf-8"))
    return parse_acceptance(content.get("acceptance"))


def parse_acceptance(said: Any) -> Acceptance | None:
    """Parse the entry "acceptance" of operating points.

    Args:
        said: A number, an object as `Acceptance.to_json` writes it, or None where there is no entry.

    Raises:
        ValueError, TypeError, KeyError: If it is none of these.
    """
    if said is None:
        return None
    if not isinstance(said, Mapping):
        return Acceptance(HIGHEST_HEAD, float(said))
    threshold, share = (None if said[name] is None else float(said[name]) for name in ("threshold", "known_rejection"))
    return Acceptance(str(said["score"]), threshold, share, str(said.get("note", "")))
