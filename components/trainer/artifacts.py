"""What a trainer leaves behind, and how later steps read it.

The Model artifact:
    model.keras         the module alone: what heads and the assembler load
    Format-Serving/     a servable of this module (for a head: with its primary module): what the Evaluator asks
    module.json         task, source, operating point, number of parameters, duration

The ModelRun artifact:
    history.json        loss and ROC-AUC, epoch by epoch
    scores.npz          score, label, source and path of each image of the held-out splits
    logs/               for TensorBoard
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from components.evaluator.operating_point import OperatingPoint
from components.trainer.examples import Split
from components.trainer.modules import TrainedModule

MODEL_FILE = "model.keras"
SERVING_FOLDER = "Format-Serving"
DESCRIPTION_FILE = "module.json"
HISTORY_FILE = "history.json"
SCORES_FILE = "scores.npz"
LOGS_FOLDER = "logs"

DETECTION = "detection"
ATTRIBUTION = "attribution"


@dataclass(frozen=True)
class ModuleDescription:
    """What is known of a trained module without loading it.

    Attributes:
        task: "detection" or "attribution".
        source: the head's source; empty for the primary module.
        operating_point: threshold, and how it was chosen.
        parameters: number of weights, trainable or not.
        training_seconds: duration of the training.
    """

    task: str
    source: str
    operating_point: OperatingPoint
    parameters: int
    training_seconds: float

    @property
    def name(self) -> str:
        """The name under which people see it: "primary", or the source."""
        return self.source or "primary"


@dataclass(frozen=True)
class SplitScores:
    """Scores of one split: labels int32 (count,), scores float32 (count,), sources and paths str (count,)."""

    labels: np.ndarray
    scores: np.ndarray
    sources: np.ndarray
    paths: np.ndarray


def write_module(folder: Path, trained: TrainedModule, source: str = "") -> ModuleDescription:
    """Writes model.keras and module.json into a Model artifact."""
    description = ModuleDescription(
        ATTRIBUTION if source else DETECTION,
        source,
        trained.operating_point,
        trained.model.count_params(),
        trained.seconds,
    )
    folder.mkdir(parents=True, exist_ok=True)
    trained.model.save(folder / MODEL_FILE)
    (folder / DESCRIPTION_FILE).write_text(json.dumps(asdict(description), indent=2) + "\n")
    return description


def read_model(folder: Path) -> keras.Model:
    """Loads the Keras model of a Model artifact; safe mode refuses code that came with the file."""
    return keras.models.load_model(folder / MODEL_FILE, compile=False, safe_mode=True)


def read_description(folder: Path) -> ModuleDescription:
    """Reads module.json of a Model artifact."""
    content = json.loads((folder / DESCRIPTION_FILE).read_text())
    return ModuleDescription(**{**content, "operating_point": OperatingPoint(**content["operating_point"])})


def write_run(folder: Path, trained: TrainedModule, splits: Mapping[str, Split], source: str = "") -> None:
    """Writes history.json and scores.npz into a ModelRun artifact; labels of a head say "is it this source?"."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HISTORY_FILE).write_text(json.dumps(trained.history.to_dict()) + "\n")
    arrays: dict[str, np.ndarray] = {}
    for name, scored in trained.scores.items():
        split = splits[name]
        labels = (split.sources == source).astype(np.int32) if source else split.labels
        arrays |= {
            f"{name}/labels": labels,
            f"{name}/scores": scored,
            f"{name}/sources": split.sources,
            f"{name}/paths": split.paths,
        }
    np.savez_compressed(folder / SCORES_FILE, allow_pickle=False, **arrays)


def read_scores(folder: Path) -> dict[str, SplitScores]:
    """Reads scores.npz of a ModelRun artifact: split name -> scores."""
    with np.load(folder / SCORES_FILE, allow_pickle=False) as arrays:
        splits = sorted({key.partition("/")[0] for key in arrays.files})
        return {
            name: SplitScores(*(arrays[f"{name}/{part}"] for part in ("labels", "scores", "sources", "paths")))
            for name in splits
        }


def read_history(folder: Path) -> dict[str, list[float]]:
    """Reads history.json of a ModelRun artifact."""
    return json.loads((folder / HISTORY_FILE).read_text())
