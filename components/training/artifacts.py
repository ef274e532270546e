"""What a trainer leaves behind, and how later steps read it.

The Model artifact:
    model.keras         the module alone: what heads and the assembler load
    Format-Serving/     a servable of this module (for a head: with its primary module): what the Evaluator asks; a
                        baseline has none
    distance.npz        of a head that refuses images too far from its source's
    module.json         architecture, task, source, classes, operating point, number of parameters, duration
    origin.json         of a module that was taken from a given servable, or trained on from it: which one that was

The ModelRun artifact:
    history.json        loss and ROC-AUC, epoch by epoch
    scores.npz          scores, label, source and path of each image of the held-out splits
    logs/               for TensorBoard
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from components.metrics.calibration import Calibration
from components.metrics.operating_point import OperatingPoint
from components.models.blocks import CUSTOM_LAYERS
from components.models.distances import SourceDistance, read_distance
from components.servable.modules_file import RebuiltModule
from components.training.trained import SplitScores, TrainedModule

MODEL_FILE = "model.keras"
SERVING_FOLDER = "Format-Serving"
DISTANCE_FILE = "distance.npz"
DESCRIPTION_FILE = "module.json"
ORIGIN_FILE = "origin.json"
HISTORY_FILE = "history.json"
SCORES_FILE = "scores.npz"
LOGS_FOLDER = "logs"

DETECTION = "detection"
ATTRIBUTION = "attribution"
MULTICLASS = "multiclass"
PROPOSED = "proposed"


@dataclass(frozen=True)
class ModuleDescription:
    """What is known of a trained module without loading it.

    Attributes:
        task: "detection", "attribution" or "multiclass".
        source: the source, or at architecture level the architecture, that an attribution module is for; else empty.
        operating_point: threshold, and how it was chosen; of a softmax, that the most probable class is taken.
        parameters: number of weights, trainable or not.
        training_seconds: duration of the training, that of earlier attempts which it took up again included.
        architecture: "proposed" for the primary module and heads; else the baseline's name.
        classes: names of a softmax's outputs, in order; empty for a module with one sigmoid output.
        images_left_out: split -> images that were neither trained on nor scored, being of none of the classes.
        calibration: scale and shift that are part of the weights and of all scores; None where there are none.
    """

    task: str
    source: str
    operating_point: OperatingPoint
    parameters: int
    training_seconds: float
    architecture: str
    classes: tuple[str, ...]
    images_left_out: dict[str, int]
    calibration: Calibration | None = None

    @property
    def name(self) -> str:
        """The name under which people see it: "primary", the source; of a baseline e.g. "gdaconv.multiclass"."""
        if self.architecture == PROPOSED:
            return self.source or "primary"
        return f"{self.architecture}.{self.source or self.task}"


def write_module(
    folder: Path, trained: TrainedModule, source: str = "", architecture: str = PROPOSED
) -> ModuleDescription:
    """Writes model.keras, module.json and, where there is one, distance.npz into a Model artifact.

    Args:
        folder: of the artifact; made if absent.
        trained: the trained module.
        source: what an attribution module is for; empty for detection and multiclass.
        architecture: "proposed", or the baseline's name.
    """
    binary_task = ATTRIBUTION if source else DETECTION
    description = ModuleDescription(
        MULTICLASS if trained.classes else binary_task,
        source,
        trained.operating_point,
        trained.model.count_params(),
        trained.seconds,
        architecture,
        trained.classes,
        dict(trained.images_left_out),
        trained.calibration,
    )
    folder.mkdir(parents=True, exist_ok=True)
    trained.model.save(folder / MODEL_FILE)
    if trained.distance:
        trained.distance.write(folder / DISTANCE_FILE)
    (folder / DESCRIPTION_FILE).write_text(json.dumps(asdict(description), indent=2) + "\n")
    return description


def write_rebuilt(folder: Path, module: RebuiltModule, origin: dict[str, Any]) -> None:
    """Write a module that was read back from a servable as a Model artifact, without a servable of its own.

    Args:
        folder: Directory to write; made if absent.
        module: Module with its description, the content of module.json.
        origin: Content of origin.json: {"model", "version", "trained_on"}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    module.model.save(folder / MODEL_FILE)
    if module.distance:
        module.distance.write(folder / DISTANCE_FILE)
    (folder / DESCRIPTION_FILE).write_text(json.dumps(module.description, indent=2) + "\n")
    write_origin(folder, origin)


def write_origin(folder: Path, origin: dict[str, Any]) -> None:
    """Write origin.json into a Model artifact: which model its module comes from."""
    (folder / ORIGIN_FILE).write_text(json.dumps(origin, indent=2) + "\n")


def read_origin(folder: Path) -> dict[str, Any] | None:
    """Read origin.json of a Model artifact; None for a module that was trained from scratch."""
    path = folder / ORIGIN_FILE
    return json.loads(path.read_text()) if path.is_file() else None


def read_model(folder: Path) -> keras.Model:
    """Loads the Keras model of a Model artifact; safe mode refuses code that came with the file."""
    return keras.models.load_model(folder / MODEL_FILE, CUSTOM_LAYERS, compile=False, safe_mode=True)


def model_digest(folder: Path) -> bytes:
    """Return the SHA-256 digest of model.keras of a Model artifact."""
    with (folder / MODEL_FILE).open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def read_distance_of(folder: Path) -> SourceDistance | None:
    """Reads distance.npz of a head's Model artifact; None where it has none."""
    path = folder / DISTANCE_FILE
    return read_distance(path) if path.exists() else None


def read_description(folder: Path) -> ModuleDescription:
    """Reads module.json of a Model artifact."""
    content = json.loads((folder / DESCRIPTION_FILE).read_text())
    point = OperatingPoint(**content["operating_point"])
    calibration = Calibration(**content["calibration"]) if content.get("calibration") else None
    classes = tuple(content["classes"])
    return ModuleDescription(**{**content, "operating_point": point, "classes": classes, "calibration": calibration})


def write_run(folder: Path, trained: TrainedModule) -> None:
    """Writes history.json and scores.npz into a ModelRun artifact."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / HISTORY_FILE).write_text(json.dumps(trained.history.to_dict()) + "\n")
    arrays: dict[str, np.ndarray] = {}
    for name, scored in trained.scores.items():
        arrays |= {f"{name}/{part}": values for part, values in vars(scored).items()}
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
