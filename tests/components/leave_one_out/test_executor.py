"""The executor as TFX calls it, after a head was trained in the same process."""

import json
from pathlib import Path

import numpy as np
import pytest
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils, standard_artifacts

from components.features.parameters import InputParameters
from components.leave_one_out.artifacts import FIGURES_FILE, read_evaluation
from components.leave_one_out.executor import LeaveOneOutExecutor
from components.trainer import job
from components.training import middle_features
from components.training.middle_features import MiddleFeatureStore
from components.training.parameters import TrainingParameters
from components.training.strategies import Replicas
from tests.support.images import SMOOTH, STRIPES
from tests.support.modules import write_primary
from tests.support.training_jobs import make_job

INPUTS = InputParameters(representation="dct", size=32)
TRAINING = TrainingParameters(epochs=2, batch_size=32)
SPLITS = ("train", "eval", "test")


def artifact(kind, uri):
    made = kind()
    made.uri = str(uri)
    return made


@pytest.fixture(scope="module")
def carried_out(prepared_dataset, transform_graph, tmp_path_factory):
    """Trains one head, then lets all sources take turns: what was extracted, and where the figures lie."""
    folder = tmp_path_factory.mktemp("open_set")
    (folder / "examples").mkdir()
    for name in SPLITS:
        (folder / "examples" / f"Split-{name}").symlink_to(prepared_dataset / "span-1" / name)
    examples = artifact(standard_artifacts.Examples, folder / "examples")
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    primary = write_primary(folder / "primary", INPUTS)
    store, extracted, extract = MiddleFeatureStore(), [], middle_features.extract_middle_features
    context = base_executor.BaseExecutor.Context(tmp_dir=str(folder / "tmp"), unique_id="1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(middle_features, "process_store", lambda: store)
        patch.setattr(middle_features, "extract_middle_features", lambda *given: extracted.append(1) or extract(*given))
        files = {name: sorted((folder / "examples" / f"Split-{name}").iterdir()) for name in SPLITS}
        head = make_job(folder / "head", {}, transform_graph, TRAINING, source=STRIPES, primary=str(primary))
        splits = {name: tuple(str(file) for file in of_split) for name, of_split in files.items()}
        job.run_job(head.model_copy(update={"splits": splits}), Replicas())
        LeaveOneOutExecutor(context).Do(
            {
                "examples": [examples],
                "transform_graph": [artifact(standard_artifacts.TransformGraph, transform_graph)],
                "primary": [artifact(standard_artifacts.Model, primary)],
            },
            {"evaluation": [artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")]},
            {
                "inputs": INPUTS.model_dump_json(),
                "training": TRAINING.model_dump_json(),
                "sources": json.dumps([SMOOTH, STRIPES]),
                "level": "instance",
                "split": "test",
            },
        )
    return extracted, folder


def test_the_primary_module_is_not_run_again_after_the_heads(carried_out):
    extracted, _ = carried_out
    assert len(extracted) == 1


def test_every_source_takes_its_turn_on_the_images_of_the_split(carried_out, splits):
    _, folder = carried_out
    evaluation = read_evaluation(folder / "evaluation")
    assert [turn.left_out for turn in evaluation.turns] == [SMOOTH, STRIPES]
    expected = sorted(splits["test"].paths[np.isin(splits["test"].sources, [SMOOTH, STRIPES])].tolist())
    for turn in evaluation.turns:
        assert sorted(turn.paths.tolist()) == expected
        assert {str(path).split("/")[1] for path in turn.paths[turn.unknown]} == {turn.left_out}


def test_figures_are_written_for_machines_and_no_head_is_left(carried_out):
    _, folder = carried_out
    written = sorted(path.name for path in Path(folder / "evaluation").iterdir())
    assert written == [FIGURES_FILE, "turns.npz"]
    figures = json.loads((folder / "evaluation" / FIGURES_FILE).read_text())
    assert set(figures["turns"]) == {SMOOTH, STRIPES}
    assert figures["best_score"] in figures["pooled"]
    assert figures["pooled"]["energy"]["unknown"] == 16
