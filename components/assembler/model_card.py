"""The model card: what a servable is, how good it is, what it is made from, and where its limits lie.

It is written when a servable is assembled and travels inside it (`card_file`), so that a pushed folder speaks for
itself: no metadata store is needed to read it. Nothing in it enters what the assembler is cached by.
Sections after Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.assembler.card_figures import model_figures
from components.assembler.card_limits import known_limits, limit_of_acceptance
from components.examples.names import AttributionLevel
from components.features.parameters import InputParameters
from components.servable.card_file import FORMAT_VERSION
from components.training import artifacts
from serving.servable.acceptance import Acceptance

_SPLIT = "test"
_SPLITS = ("train", "eval", "test", "testonly")

INTENDED_USE = (
    "Tells images that a camera made from images that a generator synthesised, and names the generator among those "
    "that it has a head for.",
    "Meant for triage, together with other evidence: a verdict is a probability with a threshold, not a proof, and "
    "decisions about people must not rest on it alone.",
)

# Of what a dataset was prepared with, the parameters that say what the models saw.
_PREPARATION = ("size", "crop", "perturb", "perturb_mode", "recompress", "split_order", "seed")


@dataclass(frozen=True)
class ArtifactRecord:
    """One artifact that a servable is made from.

    Attributes:
        id: in the metadata store.
        type: e.g. "Model".
        uri: folder in which it lies.
        node: the pipeline's node that made it.
        execution: number of the node's execution in the metadata store, "" where the folder does not say.
    """

    id: int
    type: str
    uri: str
    node: str
    execution: str


@dataclass(frozen=True)
class ExamplesRecord:
    """The images that a model was trained on.

    Attributes:
        artifact: the Examples.
        span: number of the span.
        fingerprint: digest by which the pipeline tells one state of the files from another.
    """

    artifact: ArtifactRecord
    span: int
    fingerprint: str


@dataclass(frozen=True)
class ModelRecord:
    """A trained module, with what it was trained on and what it left behind.

    Attributes:
        model: the Model.
        run: the ModelRun, which holds the scores on held-out images.
        examples: what it was trained on.
        blessed: whether it reached its gates.
    """

    model: ArtifactRecord
    run: ArtifactRecord
    examples: ExamplesRecord
    blessed: bool


@dataclass(frozen=True)
class AssemblyRun:
    """The execution that assembles.

    Attributes:
        pipeline: name of the pipeline.
        run_id: TFX's identifier of the run.
        execution: number of the execution in the metadata store.
        source_digest: of the code that assembles.
        versions: library -> version.
    """

    pipeline: str
    run_id: str
    execution: str
    source_digest: str
    versions: Mapping[str, str]


def build_card(
    run: AssemblyRun,
    inputs: InputParameters,
    level: AttributionLevel,
    transform_graph: ArtifactRecord,
    primary: ModelRecord,
    heads: Mapping[str, ModelRecord],
    dataset: Path,
    uncertain_band: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """Returns the card of a servable as plain values for JSON.

    Args:
        run: the execution that assembles.
        inputs: what the models see.
        level: what the heads are named after.
        transform_graph: the preprocessing.
        primary: the primary module.
        heads: source -> head, blessed or not, in the order of the configuration.
        dataset: folder of the prepared dataset, whose manifests say what the images are.
        uncertain_band: lowest and highest probability of the primary module at which the verdict is "uncertain".

    Returns:
        name, level, intended_use, input, data (an entry a span), models (those that are served, the primary module
        first), left_out (heads that were not blessed), uncertain_band (where there is one), known_limits and lineage.
    """
    served = {"primary": primary, **{source: head for source, head in heads.items() if head.blessed}}
    left_out = {source: head for source, head in heads.items() if not head.blessed}
    seen: dict[str, Any] = {"representation": inputs.representation, "colour": inputs.colour, "size": inputs.size}
    if inputs.views:
        seen["views"] = inputs.views
    data = _data(dataset, {"primary": primary, **heads})
    models = [_model(name, record) for name, record in served.items()]
    return {
        "format_version": FORMAT_VERSION,
        "name": run.pipeline,
        "level": level,
        "intended_use": list(INTENDED_USE),
        "input": seen,
        "data": data,
        "models": models,
        "left_out": [_model(name, record) for name, record in left_out.items()],
        **({"uncertain_band": list(uncertain_band)} if uncertain_band else {}),
        "known_limits": known_limits(seen, data, models, list(left_out), uncertain_band),
        "lineage": _lineage(run, transform_graph, primary, heads),
    }


def with_acceptance(card: Mapping[str, Any], acceptance: Acceptance | None) -> dict[str, Any]:
    """Return a card that says at which acceptance threshold a generator is named; the same card without one.

    Args:
        card: As `build_card` returns it.
        acceptance: Score and threshold; one without a threshold stands in the card too, with the reason.
    """
    if acceptance is None:
        return dict(card)
    limits = [*card["known_limits"], limit_of_acceptance(acceptance)]
    said = {
        "score": acceptance.score,
        "threshold": acceptance.threshold,
        "known_rejection": acceptance.known_rejection,
        **({"note": acceptance.note} if acceptance.note else {}),
    }
    return {**card, "acceptance": said, "known_limits": limits}


def _model(name: str, record: ModelRecord) -> dict[str, Any]:
    description = artifacts.read_description(Path(record.model.uri))
    scores = artifacts.read_scores(Path(record.run.uri)) if record.run.uri else {}
    figures = None
    if _SPLIT in scores:
        scored = scores[_SPLIT]
        threshold = description.operating_point.threshold
        figures = {
            "split": _SPLIT,
            **model_figures(scored.labels, scored.scores, scored.sources, threshold, description.calibration),
        }
    distance = artifacts.read_distance_of(Path(record.model.uri))
    return {
        "name": name,
        "task": description.task,
        "span": record.examples.span,
        "blessed": record.blessed,
        "operating_point": asdict(description.operating_point),
        "calibration": asdict(description.calibration) if description.calibration else None,
        **({"distance": {"limit": distance.limit, "note": distance.note}} if distance else {}),
        "parameters": description.parameters,
        "training_seconds": description.training_seconds,
        "figures": figures,
        "artifact": record.model.id,
    }


def _data(dataset: Path, models: Mapping[str, ModelRecord]) -> list[dict[str, Any]]:
    """Returns an entry for each span that a model was trained on."""
    spans: dict[int, ExamplesRecord] = {}
    for record in models.values():
        spans.setdefault(record.examples.span, record.examples)
    return [
        {
            **_span(dataset / f"span-{span}" / "manifest.json", span),
            "fingerprint": examples.fingerprint,
            "models": [name for name, record in models.items() if record.examples.span == span],
        }
        for span, examples in spans.items()
    ]


def _span(manifest: Path, span: int) -> dict[str, Any]:
    """Returns what the manifest of a span says; without one, that nothing is known."""
    if not manifest.is_file():
        unknown = {"sources": None, "digest": None, "inputs_digest": None, "rejected": None, "duplicates": None}
        return {"span": span, "preparation": {}, "warnings": [], **unknown}
    said = json.loads(manifest.read_text(encoding="utf-8"))
    counts = {split: said["splits"].get(split, {"sources": {}})["sources"] for split in _SPLITS}
    return {
        "span": span,
        "digest": said["digest"],
        "inputs_digest": said["inputs_digest"],
        "preparation": {name: said["parameters"][name] for name in _PREPARATION if name in said["parameters"]},
        "sources": {
            name: {
                "label": source["label"],
                **{split: int(counts[split].get(name, 0)) for split in _SPLITS},
                "formats": source["formats"],
            }
            for name, source in said["sources"].items()
        },
        "rejected": len(said["rejected"]),
        "duplicates": len(said["duplicates"]),
        "warnings": list(said["warnings"]),
    }


def _lineage(
    run: AssemblyRun, transform_graph: ArtifactRecord, primary: ModelRecord, heads: Mapping[str, ModelRecord]
) -> dict[str, Any]:
    """Returns who made what from what, as far as the assembler's inputs say; the metadata store knows the rest."""
    graph = transform_graph.id
    made: list[tuple[str, ArtifactRecord, Sequence[int]]] = []
    seen: set[int] = set()
    for record in (primary, *heads.values()):
        if record.examples.artifact.id not in seen:
            seen.add(record.examples.artifact.id)
            made.append((f"examples of span {record.examples.span}", record.examples.artifact, ()))
    made.append(("preprocessing graph", transform_graph, (primary.examples.artifact.id,)))
    made.append(("primary module", primary.model, (primary.examples.artifact.id, graph)))
    made.extend(
        (f"head of {source}", head.model, (head.examples.artifact.id, graph, primary.model.id))
        for source, head in heads.items()
    )
    return {
        "pipeline": run.pipeline,
        "run_id": run.run_id,
        "execution": run.execution,
        "source_digest": run.source_digest,
        "versions": dict(run.versions),
        "artifacts": [{"role": role, **asdict(artifact), "made_from": list(ids)} for role, artifact, ids in made],
    }
