"""Writing a servable: SavedModel, operating points and label map as assets, and warm-up requests for TF Serving."""

import tempfile
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

from components.examples import names
from components.servable.module import SIGNATURE_LABELS, AttributionModule
from serving import contract

# TF Serving compiles kernels and allocates per batch size: the first request of a size is about 60 times slower.
WARMUP_BATCH_SIZES = (1, 8, 32)


def export_servable(path: Path, module: AttributionModule, for_evaluation: bool = False) -> None:
    """Write one version directory.

    Args:
        path: Directory to write; made if absent.
        module: Graph to serve, with its thresholds.
        for_evaluation: Adds the signature by which the Evaluator learns a head's labels, and leaves out warm-up.
    """
    with tempfile.TemporaryDirectory() as folder:
        asset = Path(folder) / Path(contract.ASSET_OPERATING_POINTS).name
        module.points.write(asset, module.inputs, module.level)
        module.operating_points_asset = tf.saved_model.Asset(str(asset))
        label_map = Path(folder) / Path(contract.ASSET_LABEL_MAP).name
        module.points.write_label_map(label_map)
        module.label_map_asset = tf.saved_model.Asset(str(label_map))
        signatures = module.signatures()
        if for_evaluation and module.points.sources:
            signatures[SIGNATURE_LABELS] = module.attribution_labels
        tf.saved_model.save(module, str(path), signatures=signatures)
    if not for_evaluation:
        write_warmup_requests(path / contract.WARMUP_REQUESTS, module.inputs.size)


def write_warmup_requests(path: Path, size: int) -> None:
    """Write the requests that TF Serving replays before it reports a version as available.

    Args:
        path: File to write: TFRecord of PredictionLog.
        size: Height and width in pixels of the images in the requests.
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
