"""The graph that is served: preprocessing, the primary module, its heads, and the verdict."""

from collections.abc import Mapping
from functools import partial

import keras
import tensorflow as tf

from components.examples import names
from components.features.image import decode_windows
from components.features.parameters import InputParameters
from components.features.preprocessing import features_without_statistics
from components.features.transform import TransformFunction
from components.models.distances import SourceDistance
from components.servable.grouped_heads import GroupedHeads
from components.servable.judging import Judge, ViewsJudge, WindowJudge
from components.servable.operating_points import OperatingPoints
from components.servable.resaving import RESAVINGS, resaved
from components.servable.verdict import verdicts
from serving import contract

# For evaluation alone: the label of a head, "did this source make the image?", as the Evaluator needs it beside the
# scores. Not among the signatures of a pushed servable.
SIGNATURE_LABELS = "attribution_labels"
OUTPUT_IS_SOURCE = "is_source"


class AttributionModule(tf.Module):
    """The signatures of a servable, from encoded bytes to verdicts.

    Args:
        transform: Function from image bytes to features, as Transform exported it.
        inputs: Representation and size that the primary module reads.
        primary: Primary module.
        heads: Heads by source, in the order of the outputs; may be empty.
        points: Thresholds of the primary module and the heads, in their order, and the band without a verdict.
        level: Kind of name that the heads have: sources, "instance", or generator architectures.
        distances: Distance by source beyond which its head claims nothing; a head without one claims by its threshold.

    Raises:
        ValueError: if the thresholds' sources are not the heads' sources.
    """

    def __init__(
        self,
        transform: TransformFunction,
        inputs: InputParameters,
        primary: keras.Model,
        heads: Mapping[str, keras.Model],
        points: OperatingPoints,
        level: names.AttributionLevel = "instance",
        distances: Mapping[str, SourceDistance | None] | None = None,
    ) -> None:
        super().__init__(name="generator_attribution")
        if list(points.sources) != list(heads):
            raise ValueError(f"operating points are for {list(points.sources)}, the heads are {list(heads)}.")
        self.inputs, self.points, self.level = inputs, points, level
        # Views need no statistics, and a spectrum's would be a fifth of the file.
        self._transform = transform if inputs.views is None else partial(_window_features, inputs)
        self._source_names = list(heads)
        self._group_feature = names.SOURCE if level == "instance" else names.ARCHITECTURE
        grouped = GroupedHeads(heads, distances)
        self._judge: Judge = (
            WindowJudge(transform, inputs, primary, grouped)
            if inputs.views is None
            else ViewsJudge(inputs, primary, grouped)
        )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=contract.INPUT_IMAGE_BYTES)])
    def serve_image_bytes(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Signature `serving_default`: encoded images to probabilities and verdicts."""
        return self._answers(image_bytes, explained=False)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=contract.INPUT_EXAMPLES)])
    def serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Signature `serving_examples`: serialized tf.Examples to probabilities and verdicts."""
        return self.serve_image_bytes(_image_bytes_of(examples))  # the same function: the graph holds it once

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=contract.INPUT_IMAGE_BYTES)])
    def explain(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Signature `explain`: the answers and a heatmap for each of the models that gave them."""
        return self._answers(image_bytes, explained=True)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=contract.INPUT_EXAMPLES)])
    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Signature `transform_features`: serialized tf.Examples to the features that models see.

        A model that judges several views gives those of the central window, in its own representation alone.
        """
        return self._transform(_image_bytes_of(examples))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=contract.INPUT_EXAMPLES)])
    def attribution_labels(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Signature `attribution_labels`: does each example come from the group of column i? int64 (batch, heads)."""
        spec = {self._group_feature: tf.io.FixedLenFeature([], tf.string)}
        group = tf.io.parse_example(examples, spec)[self._group_feature]
        is_source = group[:, tf.newaxis] == tf.constant(self._source_names, tf.string, (1, len(self._source_names)))
        return {OUTPUT_IS_SOURCE: tf.cast(is_source, tf.int64)}

    def signatures(self) -> dict[str, tf.types.experimental.GenericFunction]:
        """Returns the signatures of a servable, by their names in the contract."""
        return {
            contract.SIGNATURE_DEFAULT: self.serve_image_bytes,
            contract.SIGNATURE_EXAMPLES: self.serve_examples,
            contract.SIGNATURE_EXPLAIN: self.explain,
            contract.SIGNATURE_TRANSFORM: self.transform_features,
        }

    def _answers(self, image_bytes: tf.Tensor, explained: bool) -> dict[str, tf.Tensor]:
        """Returns the four outputs, with the range of re-savings and with heatmaps where there are any."""
        judgement = self._judge.judge(image_bytes, with_maps=explained)
        batch = tf.shape(image_bytes)[0]
        heatmaps = {}
        if explained:
            heatmaps = {
                contract.OUTPUT_DETECTION_HEATMAP: judgement.detection_map,
                contract.OUTPUT_SOURCE_HEATMAPS: judgement.source_maps,
            }
        names_of_columns = tf.constant(self._source_names, tf.string, (1, len(self._source_names)))
        source_names = tf.tile(names_of_columns, [batch, 1])
        verdict = verdicts(
            judgement.fake_probability,
            judgement.source_probabilities,
            self.points.detection,
            list(self.points.sources.values()),
            self._source_names,
            self.points.uncertain_band,
            judgement.within,
            self.points.acceptance,
        )
        stability = {}
        if self.points.stability:
            lowest, highest = self._probability_range(image_bytes, judgement.fake_probability)
            stability[contract.OUTPUT_FAKE_PROBABILITY_RANGE] = tf.stack([lowest, highest], axis=1)
            flips = (lowest < self.points.detection) & (highest >= self.points.detection)
            verdict = tf.where(flips, contract.VERDICT_UNCERTAIN, verdict)
        return {
            contract.OUTPUT_FAKE_PROBABILITY: judgement.fake_probability,
            contract.OUTPUT_SOURCE_PROBABILITIES: judgement.source_probabilities,
            contract.OUTPUT_SOURCE_NAMES: source_names,
            contract.OUTPUT_VERDICT: verdict,
            **stability,
            **heatmaps,
        }

    def _probability_range(self, image_bytes: tf.Tensor, fake_probability: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns lowest and highest fake probability, (batch,) each, of the images and their mild re-savings."""
        found = [fake_probability]
        for resaving in RESAVINGS[: self.points.stability]:
            again = resaved(image_bytes, resaving, self.inputs.smallest_side)
            found.append(self._judge.judge(again, with_maps=False).fake_probability)
        return tf.reduce_min(found, axis=0), tf.reduce_max(found, axis=0)


def _window_features(inputs: InputParameters, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
    """Return the features of the central window, float32 (batch, size, size, channels), by their representation."""
    windows = decode_windows(image_bytes, inputs.size)
    return {inputs.representation: features_without_statistics(windows, inputs.representation, inputs.colour)}


def _image_bytes_of(examples: tf.Tensor) -> tf.Tensor:
    spec = {names.IMAGE_BYTES: tf.io.FixedLenFeature([], tf.string)}
    return tf.io.parse_example(examples, spec)[names.IMAGE_BYTES]
