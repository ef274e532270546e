"""The record beside an assembled servable: which trained modules it is made of."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ASSEMBLY_FILE = "assembly.json"


@dataclass(frozen=True)
class Assembly:
    """Trained modules of a servable.

    Attributes:
        primary: Directory of the primary module's artifact.
        heads: Source -> directory of its head's artifact, in the order of the outputs.
        left_out: Sources whose head was not blessed.
    """

    primary: str
    heads: Mapping[str, str]
    left_out: Sequence[str]


def write_assembly(directory: Path, assembly: Assembly) -> None:
    """Write assembly.json into an assembled Model artifact."""
    (directory / ASSEMBLY_FILE).write_text(json.dumps(asdict(assembly), indent=2) + "\n")


def read_assembly(directory: Path) -> Assembly:
    """Read assembly.json of an assembled Model artifact."""
    return Assembly(**json.loads((directory / ASSEMBLY_FILE).read_text()))
