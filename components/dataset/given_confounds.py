"""The confound check of `prepare`: made on the files as given, before anything is written."""

from collections.abc import Iterable, Mapping
from typing import Any

from components.dataset.confounds import Confound, GivenFile, judge_confounds, measure_confounds
from components.dataset.images import CheckedImage
from components.dataset.parameters import PreparationParameters
from components.errors import StepRefusedError


def measure(images: Iterable[CheckedImage]) -> list[Confound]:
    """Measures what tells real from fake beside the picture.

    Args:
        images: of the trained splits.
    """
    return measure_confounds(
        GivenFile(image.source.label, image.format, image.compression, (image.width, image.height), image.colour_mode)
        for image in images
    )


def judge(confounds: list[Confound], parameters: PreparationParameters) -> dict[str, Any]:
    """Decides what is to be said, and whether to go on.

    Args:
        confounds: as measured.
        parameters: action, limit, and the recompression that is about to be applied.

    Returns:
        Manifest.confounds.

    Raises:
        StepRefusedError: if a property tells the classes apart and the action is "fail".
    """
    warnings: list[str] = []
    notes: list[str] = []
    if parameters.confound != "off":
        # "png" leaves the pixels as they are, and with them the traces of whatever JPEG they went through.
        recompressed = isinstance(parameters.recompress, int)
        findings = judge_confounds(confounds, parameters.confound_limit, recompressed)
        warnings, notes = findings.warnings, findings.notes
    if warnings and parameters.confound == "fail":
        raise StepRefusedError(
            "real and fake images differ in more than the picture:\n  "
            + "\n  ".join(warnings)
            + "\nNothing was written. Change the images or the parameters, or only warn: set `confound` to warn."
        )
    return {
        "action": parameters.confound,
        "limit": parameters.confound_limit,
        "figures": [confound.to_dict() for confound in confounds],
        "warnings": warnings,
        "notes": notes,
    }


def judge_again(recorded: Mapping[str, Any], parameters: PreparationParameters) -> dict[str, Any]:
    """Decides the same for a dataset that stands already: its figures are recorded, action and limit may be new.

    Args:
        recorded: Manifest.confounds.
        parameters: as for `judge`.

    Raises:
        StepRefusedError: as `judge`.
    """
    return judge([Confound.from_dict(figure) for figure in recorded["figures"]], parameters)
