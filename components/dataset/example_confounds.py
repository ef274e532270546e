"""The confound check of the pipeline: the same as `genattr prepare` makes, on the examples that a run reads."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from components.dataset.confounds import Confound, Findings, judge_confounds, measure_confounds
from components.dataset.recorded_files import RecordedFile
from components.example_validator.parameters import ConfoundParameters

FILE_NAME = "confounds.json"


@dataclass(frozen=True)
class ConfoundReport:
    """What was measured, and what follows.

    Attributes:
        parameters: action and limit.
        figures: a figure a property.
        findings: sentences.
    """

    parameters: ConfoundParameters
    figures: list[Confound]
    findings: Findings

    def save(self, directory: Path) -> None:
        """Writes confounds.json: action, limit, figures, warnings, notes; as in a dataset's manifest."""
        content = {
            **self.parameters.model_dump(),
            "figures": [figure.to_dict() for figure in self.figures],
            "warnings": self.findings.warnings,
            "notes": self.findings.notes,
        }
        directory.mkdir(parents=True, exist_ok=True)
        (directory / FILE_NAME).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def find_confounds(files: Iterable[RecordedFile], parameters: ConfoundParameters) -> ConfoundReport:
    """Measures what tells real from fake beside the picture, and judges it.

    Args:
        files: of all splits that are trained on, evaluated and tested.
        parameters: the limit. The action is left to the caller.
    """
    everything = list(files)
    figures = measure_confounds(file.given for file in everything)
    # One common JPEG step masks formats; images that went through different ones, or some through none, are not alike.
    qualities = {file.recompression for file in everything}
    recompressed = len(qualities) == 1 and 0 not in qualities
    return ConfoundReport(parameters, figures, judge_confounds(figures, parameters.limit, recompressed))
