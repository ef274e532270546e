"""From trained modules to one servable: which heads go in, and why others do not."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from components.assembler.acceptance import called_real, fit_acceptance
from components.errors import StepRefusedError
from components.examples.names import AttributionLevel
from components.features.parameters import InputParameters
from components.features.transform import ExportedTransform
from components.servable.assembly import Assembly, write_assembly
from components.servable.export import export_servable
from components.servable.module import AttributionModule
from components.servable.modules_file import write_modules
from components.servable.operating_points import OperatingPoints
from components.servable.parameters import VerdictParameters
from components.training import artifacts
from components.training.trained import SplitScores
from serving.servable.acceptance import HIGHEST_HEAD, Acceptance

_DECIDED_BY_MODELS = VerdictParameters()
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A trained module with the Evaluator's judgement.

    Attributes:
        model: folder of the Model artifact.
        blessed: whether it reached its gates.
        robust: whether it reached its gates on perturbed copies too, if it was asked.
        run: folder of the ModelRun artifact, whose scores of the eval split an acceptance threshold is chosen on.
    """

    model: Path
    blessed: bool
    robust: bool = True
    run: Path | None = None


def assemble(
    folder: Path,
    transform_graph: str,
    inputs: InputParameters,
    primary: Candidate,
    heads: Mapping[str, Candidate],
    level: AttributionLevel = "instance",
    verdict: VerdictParameters = _DECIDED_BY_MODELS,
) -> Assembly:
    """Writes one servable of the primary module and every blessed head.

    Args:
        folder: of the Model artifact to write: Format-Serving/ and assembly.json.
        transform_graph: URI of the TransformGraph artifact.
        inputs: representation and size.
        primary: the primary module.
        heads: source -> head, in the order of the outputs.
        level: what the heads are named after: sources, or generator architectures.
        verdict: how the servable decides.

    Returns:
        What went in and what did not.

    Raises:
        StepRefusedError: if the primary module is not blessed: every verdict rests on it.
    """
    if not primary.blessed:
        raise StepRefusedError(
            "the primary module is not blessed: it missed a gate of evaluation.detection (see the report). "
            "No servable is assembled; what is served now stays."
        )
    if not primary.robust:
        raise StepRefusedError(
            "the primary module is not blessed: it missed a gate of evaluation.perturbations (see the report). "
            "No servable is assembled; what is served now stays."
        )
    blessed = {source: candidate.model for source, candidate in heads.items() if candidate.blessed}
    points = OperatingPoints(
        artifacts.read_description(primary.model).operating_point.threshold,
        {source: artifacts.read_description(model).operating_point.threshold for source, model in blessed.items()},
        verdict.uncertain_band,
        _acceptance(blessed, primary, heads, level, verdict),
        verdict.stability,
    )
    primary_model = artifacts.read_model(primary.model)
    head_models = {source: artifacts.read_model(model) for source, model in blessed.items()}
    module = AttributionModule(
        ExportedTransform(transform_graph),
        inputs,
        primary_model,
        head_models,
        points,
        level,
        {source: artifacts.read_distance_of(model) for source, model in blessed.items()},
    )
    export_servable(folder / artifacts.SERVING_FOLDER, module)
    descriptions = {"primary": primary.model, **blessed}
    write_modules(
        folder / artifacts.SERVING_FOLDER,
        primary_model,
        head_models,
        {name: asdict(artifacts.read_description(model)) for name, model in descriptions.items()},
    )
    assembly = Assembly(
        str(primary.model),
        {source: str(model) for source, model in blessed.items()},
        [source for source in heads if source not in blessed],
    )
    write_assembly(folder, assembly)
    return assembly


def _acceptance(
    blessed: Iterable[str],
    primary: Candidate,
    heads: Mapping[str, Candidate],
    level: AttributionLevel,
    verdict: VerdictParameters,
) -> Acceptance | None:
    """Return the acceptance threshold of the heads that are assembled; None if none is wanted."""
    if verdict.acceptance == "none":
        return None
    found = {source: _eval_scores(heads[source]) for source in blessed}
    scored = {source: scores for source, scores in found.items() if scores is not None}
    if unscored := [source for source in found if source not in scored]:
        _LOGGER.warning(
            "verdict.acceptance: images of %s do not count, since their heads have no scores of the eval split",
            ", ".join(unscored),
        )
    real: frozenset[str] = frozenset()
    primary_scores = _eval_scores(primary)
    if verdict.acceptance != HIGHEST_HEAD and primary_scores is not None:
        threshold = artifacts.read_description(primary.model).operating_point.threshold
        real = called_real(primary_scores, threshold)
    return fit_acceptance(scored, level, verdict.acceptance, verdict.known_rejection, real)


def _eval_scores(candidate: Candidate) -> SplitScores | None:
    return artifacts.read_scores(candidate.run).get("eval") if candidate.run else None
