"""Writing a servable: SavedModel, operating points and label map as assets, and warm-up requests for TF Serving."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import keras
import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from components.examples import names
from components.features.parameters import InputParameters
from components.features.transform import TransformFunction
from components.models.distances import SourceDistance
from components.servable.module import SIGNATURE_LABELS, AttributionModule
from components.servable.operating_points import OperatingPoints
from serving import contract

# TF Serving compiles kernels and allocates per batch size: the first request of a size is about 60 times slower.
WARMUP_BATCH_SIZES = (1, 8, 32)


def export_servable(
    path: Path,
    transform: TransformFunction,
    inputs: InputParameters,
    primary: keras.Model,
    heads: Mapping[str, keras.Model],
    points: OperatingPoints,
    for_evaluation: bool = False,
    level: names.AttributionLevel = "instance",
    distances: Mapping[str, SourceDistance | None] | None = None,
) -> None:
    """Writes one version directory.

    Args:
        path: directory to write; made if absent.
        transform: what Transform exported.
        inputs: representation and size.
        primary: the primary module.
        heads: source name -> head.
        points: thresholds of primary module and heads, and the band in which no verdict is given.
        for_evaluation: adds the signature by which the Evaluator learns a head's labels, and leaves out warm-up.
        level: what the heads are named after: sources, or generator architectures.
        distances: source -> beyond which distance its head claims nothing; a head without one claims by its threshold.
    """
    module = AttributionModule(transform, inputs, primary, heads, points, level, distances)
    with tempfile.TemporaryDirectory() as folder:
        asset = Path(folder) / Path(contract.ASSET_OPERATING_POINTS).name
        points.write(asset, inputs, level)
        module.operating_points_asset = tf.saved_model.Asset(str(asset))
        label_map = Path(folder) / Path(contract.ASSET_LABEL_MAP).name
        points.write_label_map(label_map)
        module.label_map_asset = tf.saved_model.Asset(str(label_map))
        signatures = module.signatures()
        if for_evaluation and heads:
            signatures[SIGNATURE_LABELS] = module.attribution_labels
        tf.saved_model.save(module, str(path), signatures=signatures)
    if not for_evaluation:
        write_warmup_requests(path / contract.WARMUP_REQUESTS, inputs.size)


def write_warmup_requests(path: Path, size: int) -> None:
    """Writes the requests that TF Serving replays before it calls a version available.

    Args:
        path: file to write: TFRecord of PredictionLog.
        size: height and width in pixels of the images in the requests.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    image = tf.io.encode_png(tf.fill((size, size, 3), tf.constant(128, tf.uint8))).numpy()
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
    example = tf.train.Example(features=tf.train.Features(feature={names.IMAGE_BYTES: feature})).SerializeToString()
    content = {
        contract.SIGNATURE_DEFAULT: (contract.INPUT_IMAGE_BYTES, image),
        contract.SIGNATURE_EXAMPLES: (contract.INPUT_EXAMPLES, example),
        contract.SIGNATURE_EXPLAIN: (contract.INPUT_IMAGE_BYTES, image),
        contract.SIGNATURE_TRANSFORM: (contract.INPUT_EXAMPLES, example),
    }
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, (input_name, value) in content.items():
            for batch_size in WARMUP_BATCH_SIZES:
                request = predict_pb2.PredictRequest(
                    model_spec=model_pb2.ModelSpec(name=contract.DEFAULT_MODEL_NAME, signature_name=signature),
                    inputs={input_name: tf.make_tensor_proto([value] * batch_size)},
                )
                log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
                writer.write(log.SerializeToString())
