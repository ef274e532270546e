"""Judging: from encoded images to probabilities and maps, through one window of each image or through several views."""

from functools import partial
from typing import NamedTuple, Protocol

import keras
import tensorflow as tf

from components.features.parameters import InputParameters
from components.features.preprocessing import features_without_statistics
from components.features.transform import TransformFunction
from components.features.views import Views, decode_views, native_extents
from components.models import primary as primary_module
from components.models.any_size import of_any_size
from components.servable.grouped_heads import GroupedHeads
from components.servable.stitching import SIDE, stitch

# Windows that pass through the network at a time: their features are what a batch of large images takes in memory.
_WINDOWS_PER_PASS = 32


class Judgement(NamedTuple):
    """Answers of all models on a batch of images.

    Attributes:
        fake_probability: float32 (batch,), 0..1.
        source_probabilities: float32 (batch, heads), 0..1.
        within: bool (batch, heads), whether the image is near enough to the head's source to be claimed.
        detection_map: float32 (batch, height, width), as `primary.detection_map`; not to be read unless requested.
        source_maps: float32 (batch, heads, height, width), likewise.
    """

    fake_probability: tf.Tensor
    source_probabilities: tf.Tensor
    within: tf.Tensor
    detection_map: tf.Tensor
    source_maps: tf.Tensor


class Judge(Protocol):
    """A way from encoded images to a judgement."""

    def judge(self, image_bytes: tf.Tensor, with_maps: bool) -> Judgement:
        """Judge a batch of encoded images, string (batch,)."""


class WindowJudge(tf.Module):
    """Judges the central window of each image, as published; smaller images are refused.

    Args:
        transform: Function from image bytes to features.
        inputs: Representation that the primary module reads.
        primary: Primary module.
        heads: Heads.
    """

    def __init__(
        self, transform: TransformFunction, inputs: InputParameters, primary: keras.Model, heads: GroupedHeads
    ) -> None:
        super().__init__(name="window_judge")
        self._transform, self._representation, self._heads = transform, inputs.representation, heads
        self._primary = primary_module.with_features(primary)
        self._detection_map = partial(primary_module.detection_map, primary)

    def judge(self, image_bytes: tf.Tensor, with_maps: bool) -> Judgement:
        """Judge a batch of encoded images, string (batch,)."""
        model_inputs = self._transform(image_bytes)[self._representation]
        batch = tf.shape(image_bytes)[0]
        # Convolutions answer an empty batch with a wrong shape, and a row alone is multiplied by other routines than
        # several are, which add up in another order: both get blank rows, of which nothing is kept.
        blank = tf.zeros((2, *model_inputs.shape[1:]), model_inputs.dtype)
        some_inputs = tf.cond(batch > 1, lambda: model_inputs, lambda: tf.concat([model_inputs, blank], axis=0)[:2])
        middle, last, _, decision = self._primary(tf.ensure_shape(some_inputs, model_inputs.shape), training=False)
        heads = self._heads.answers(middle, with_maps=with_maps)
        detection_map = self._detection_map(last) if with_maps else decision
        everything = Judgement(decision[:, 0], heads.probabilities, heads.within, detection_map, heads.maps)
        return Judgement(*(part[:batch] for part in everything))


class ViewsJudge(tf.Module):
    """Judges an image of any size through several windows of it; their averaged logits decide.

    A window that is partly mirrored, since its image is smaller, is judged by its own pixels alone, up to a multiple of
    8: repeating a border would give it more weight than the rest of the image.

    Args:
        inputs: Representation, size and number of views; of models that average over places.
        primary: Primary module.
        heads: Heads.
    """

    def __init__(self, inputs: InputParameters, primary: keras.Model, heads: GroupedHeads) -> None:
        super().__init__(name="views_judge")
        self._inputs, self._heads = inputs, heads
        self._primary = primary_module.with_features(primary)
        self._primary_of_any_size = of_any_size(self._primary)
        self._detection_map = partial(primary_module.detection_map, primary)
        self._map_shape = tuple(self._primary.outputs[1].shape[1:3])

    def judge(self, image_bytes: tf.Tensor, with_maps: bool) -> Judgement:
        """Judge a batch of encoded images, string (batch,)."""
        views = decode_views(image_bytes, self._inputs.size, self._inputs.views or 1)
        batch, extents = tf.shape(image_bytes)[0], native_extents(views)
        mirrored = tf.reduce_any(extents < self._inputs.size, axis=1)
        # What is partly mirrored is judged by what is not; only a map shows all of it.
        in_passes, native = (
            tf.cast(tf.where(chosen)[:, 0], tf.int32)
            for chosen in (tf.fill(tf.shape(mirrored), True) if with_maps else ~mirrored, mirrored)
        )
        logits, averaged, detection, sources = self._in_passes(tf.gather(views.windows, in_passes), with_maps)
        own = self._native(views, extents, native, averaged.shape[1:])
        # Where a window is in both, the later one counts.
        logits, averaged = (
            tf.dynamic_stitch([in_passes, native], [passed, alone])
            for passed, alone in zip((logits, averaged), own, strict=True)
        )
        probability = tf.sigmoid(tf.math.unsorted_segment_mean(logits, views.rows, batch))
        averaged = tf.ensure_shape(averaged, (None, self._heads.count, None))
        probabilities, within = self._heads.decide(tf.math.unsorted_segment_mean(averaged, views.rows, batch))
        if with_maps:
            detection = stitch(tf.ensure_shape(detection, (None, 1, *self._map_shape)), views)
            sources = self._stitched_sources(sources, views)
        return Judgement(probability, probabilities, within, detection[:, 0], sources)

    def _in_passes(self, windows: tf.Tensor, with_maps: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return what `_pass` does, of any number of windows."""
        count = tf.shape(windows)[0]
        passes = tf.maximum((count + _WINDOWS_PER_PASS - 1) // _WINDOWS_PER_PASS, 1)
        # Never a row alone, see WindowJudge; and no pass much smaller than the others.
        size = tf.maximum((count + passes - 1) // passes, 2)
        padded = tf.pad(windows, [[0, passes * size - count], [0, 0], [0, 0], [0, 0]])
        shape = windows.shape[1:]
        found = tf.map_fn(
            lambda windows: self._pass(tf.ensure_shape(windows, (None, *shape)), with_maps),
            tf.reshape(padded, (passes, size, *shape)),
            fn_output_signature=tuple(tf.TensorSpec((None,) * rank, tf.float32) for rank in (1, 3, 4, 4)),
            parallel_iterations=1,
        )
        logits, averaged, detection, sources = (_unpacked(part)[:count] for part in found)
        return logits, averaged, detection, sources

    def _native(
        self, views: Views, extents: tf.Tensor, chosen: tf.Tensor, shape: tf.TensorShape
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Judge windows by what of them is not mirrored, one at a time.

        Args:
            views: The windows.
            extents: int32 (windows, 2), height and width of what is not mirrored.
            chosen: int32 (chosen,), the windows to judge.
            shape: (heads, channels), of the averaged features of a window.

        Returns:
            float32 (chosen,), logits; float32 (chosen, heads, channels), averaged features of heads.
        """

        def judged(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            height, width = tf.unstack(extents[number])
            window = views.windows[number, tf.newaxis, :height, :width]
            seen = features_without_statistics(window, self._inputs.representation, self._inputs.colour)
            middle, _, logit, _ = self._primary_of_any_size(seen, training=False)
            return logit[0, 0], self._heads.pooled_features(middle)[0][0]

        shapes = (tf.TensorSpec((), tf.float32), tf.TensorSpec(shape, tf.float32))
        return tf.map_fn(judged, chosen, fn_output_signature=shapes, parallel_iterations=1)

    def _stitched_sources(self, maps: tf.Tensor, views: Views) -> tf.Tensor:
        if not self._heads.count:
            return tf.zeros((tf.shape(views.sizes)[0], 0, SIDE, SIDE))
        return stitch(tf.ensure_shape(maps, (None, self._heads.count, *self._heads.map_shape)), views)

    def _pass(self, windows: tf.Tensor, with_maps: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return logits (windows,), averaged features of heads, and maps of detection and heads with a channel each."""
        seen = features_without_statistics(windows, self._inputs.representation, self._inputs.colour)
        middle, last, logits, _ = self._primary(seen, training=False)
        averaged, sources = self._heads.pooled_features(middle, with_maps=with_maps)
        detection = self._detection_map(last) if with_maps else tf.zeros((tf.shape(windows)[0], 0, 0))
        return logits[:, 0], averaged, detection[:, tf.newaxis], sources


def _unpacked(parts: tf.Tensor) -> tf.Tensor:
    """Joins the first two axes: (passes, windows, ...) to (passes * windows, ...)."""
    shape = tf.shape(parts)
    return tf.reshape(parts, tf.concat([[shape[0] * shape[1]], shape[2:]], axis=0))
