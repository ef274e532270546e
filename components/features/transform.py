"""The exported preprocessing graph, as training, evaluation and serving use it."""

from collections.abc import Callable

import tensorflow as tf
import tensorflow_transform as tft

from components.examples import names

# Encoded images, string (batch,) -> transformed features by name (see `components.features.preprocessing`).
TransformFunction = Callable[[tf.Tensor], dict[str, tf.Tensor]]


class ExportedTransform(tf.Module):
    """Applies the graph that Transform exported. Call it inside a `tf.function` only.

    It wraps a tf_keras layer, which a Keras 3 model does not take as one of its own; a `tf.Module` that is exported
    with it keeps its statistics.

    Args:
        transform_graph: URI of the TransformGraph artifact.
    """

    def __init__(self, transform_graph: str) -> None:
        super().__init__(name="transform")
        self._layer = tft.TFTransformOutput(transform_graph).transform_features_layer()

    def __call__(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Transforms encoded images.

        Args:
            image_bytes: string (batch,).

        Returns:
            {"pixel", "dct", "residual": float32 (batch, size, size, channels)}, see `preprocessing_fn`.
        """
        # The inferred schema says that each example holds a list of one image.
        return self._layer({names.IMAGE_BYTES: image_bytes[:, tf.newaxis]})
