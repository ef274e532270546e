"""Modules that were never trained, as trainers leave trained ones behind."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from components.features.parameters import InputParameters
from components.features.transform import TransformFunction
from components.metrics.operating_point import OperatingPoint
from components.models import secondary
from components.models.parameters import LayerParameters
from components.models.primary import build_primary
from components.models.secondary import build_secondary
from components.servable.export import export_servable
from components.servable.module import AttributionModule
from components.servable.operating_points import OperatingPoints
from components.training import artifacts
from components.training.history import History
from components.training.modules import TrainedModule
from tests.support.images import SIZE

DETECTION_THRESHOLD = 0.45


def write_primary(folder: Path, inputs: InputParameters) -> Path:
    """Writes the Model artifact of a primary module, without Format-Serving/."""
    model = build_primary(inputs.shape, inputs.pooled, LayerParameters(), seed=1)
    point = OperatingPoint(DETECTION_THRESHOLD, "fixed", "")
    artifacts.write_module(folder, TrainedModule(model, point, History(), {}, 0.0))
    return folder


def write_head(folder: Path, inputs: InputParameters, source: str, threshold: float, seed: int) -> Path:
    """Writes the Model artifact of a head, without Format-Serving/."""
    model = build_secondary((SIZE // 4, SIZE // 4, 16), inputs.pooled, LayerParameters(), seed)
    artifacts.write_module(
        folder, TrainedModule(model, OperatingPoint(threshold, "fixed", ""), History(), {}, 0.0), source
    )
    return folder


def export(
    folder: Path, transform: TransformFunction, inputs: InputParameters, primary: Path, heads: dict[str, Path]
) -> Path:
    """Exports written modules as one servable for the Evaluator, without warm-up."""
    points = {source: artifacts.read_description(head).operating_point.threshold for source, head in heads.items()}
    export_servable(
        folder,
        AttributionModule(
            transform,
            inputs,
            artifacts.read_model(primary),
            {source: artifacts.read_model(head) for source, head in heads.items()},
            OperatingPoints(DETECTION_THRESHOLD, points),
        ),
        for_evaluation=True,
    )
    return folder


def with_last_features(head: keras.Model) -> keras.Model:
    """Returns a view on a head, sharing its weights, that gives [last features, probability]."""
    return keras.Model(head.input, [head.get_layer(secondary.LAST_LAYER).output, head.outputs[0]])


def ask(servable: Path, images: list[bytes]) -> dict[str, np.ndarray]:
    """Loads a servable and asks `serving_default`."""
    signature = tf.saved_model.load(str(servable)).signatures["serving_default"]
    return {name: value.numpy() for name, value in signature(image_bytes=tf.constant(images)).items()}
