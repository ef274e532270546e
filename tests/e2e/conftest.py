"""A small pipeline, run once, that the whole-pipeline tests look at from all sides."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

SIZE = 64
PER_SOURCE = 30
CONFIGURED = ("nearest_demo", "transposed_demo")
LATER = "bilinear_demo"


@dataclass
class Recorder:
    """Listens to a run."""

    ended: dict[str, str] = field(default_factory=dict)

    def node_started(self, node: str) -> None:
        pass

    def node_ended(self, node: str, state: str, seconds: float) -> None:
        self.ended[node] = state


@pytest.fixture(scope="session")
def image_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two cameras and three generators."""
    from components.sample.tree import write_sample_tree

    tree = tmp_path_factory.mktemp("e2e") / "images"
    write_sample_tree(tree, per_source=PER_SOURCE, size=SIZE, generators=(*CONFIGURED, LATER))
    return tree


@pytest.fixture(scope="session")
def dataset(image_tree: Path) -> Path:
    """The prepared dataset of these images."""
    from components.dataset.parameters import PreparationParameters
    from components.dataset.prepare import prepare

    out = image_tree.parent / "dataset"
    prepare(image_tree, out, PreparationParameters(size=SIZE))
    return out


def small_configuration(dataset: Path, output_root: Path, sources: tuple[str, ...] = CONFIGURED) -> dict:
    """Values of a configuration that trains for two epochs and blesses whatever comes out."""
    training = {"epochs": 2, "batch_size": 16}
    return {
        "name": "small",
        "data": {"dataset": str(dataset)},
        "output_root": str(output_root),
        "input": {"size": SIZE},
        "primary": training,
        "secondary": training,
        "sources": list(sources),
        "evaluation": {"detection": {"min_roc_auc": 0.0}, "attribution": {"min_roc_auc": 0.0}},
        "open_set": {"leave_one_out": False},
        "validation": {"images": 16},
    }


def write_configuration(path: Path, values: dict) -> Path:
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="session")
def first_run(dataset: Path, tmp_path_factory: pytest.TempPathFactory):
    """The first run of the small pipeline: (configuration values, outcome, states of its nodes)."""
    from pipeline.config.schema import validate_config
    from pipeline.runs.local import run_pipeline

    values = small_configuration(dataset, tmp_path_factory.mktemp("runs") / "small")
    recorder = Recorder()
    outcome = run_pipeline(validate_config(values, "test"), "beam", recorder)
    return values, outcome, recorder.ended
