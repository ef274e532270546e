"""Measures, before a training, mean and covariance of what the whitened projections of a model read."""

import keras
import numpy as np
import tensorflow as tf

from components.models.any_size import averages_over_places, of_any_size
from components.models.whitening import WhitenedProjection, whitening_basis
from components.training.inputs import LabelledInputs
from components.training.parameters import TrainingParameters
from components.training.sampling import epoch_order, even_batches

_IMAGES = 3072


def fit_whitening(model: keras.Model, training: LabelledInputs, parameters: TrainingParameters) -> None:
    """Set mean and basis of every whitened projection of a model, by the first images of the first pass.

    The images are those that a training sees first, in the mixture and with the augmentation that it sees them in.

    Args:
        model: Model; nothing is done unless it has a whitened projection. Nothing that one of them reads may depend on
            a trained weight.
        training: Inputs of the train split.
        parameters: Parameters of the training.
    """
    layers = [layer for layer in model.layers if isinstance(layer, WhitenedProjection)]
    if not layers:
        return
    view = keras.Model(model.input, [layer.input for layer in layers])
    if averages_over_places(model):  # windows are smaller than what is asked later
        view = of_any_size(view)

    @tf.function(reduce_retracing=True)
    def sums(inputs: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        rows = [tf.reshape(read, (-1, read.shape[-1])) for read in view(inputs, training=False)]
        count = [tf.cast(tf.shape(of_layer)[0], tf.float32) for of_layer in rows]
        return [
            (tf.reduce_mean(of_layer, 0), tf.matmul(of_layer, of_layer, transpose_a=True) / number)
            for of_layer, number in zip(rows, count, strict=True)
        ]

    sampling, power = parameters.sampling, parameters.sampling_power
    order = epoch_order(training.targets, sampling, parameters.seed, 0, training.sources, power)
    batches = [np.sort(batch) for batch in even_batches(order[:_IMAGES], parameters.batch_size)]
    means = [np.zeros(layer.basis.shape[0]) for layer in layers]
    squares = [np.zeros((layer.basis.shape[0],) * 2) for layer in layers]
    for inputs in training.inputs.in_epoch(0).batches(batches):
        for number, (mean, square) in enumerate(sums(tf.convert_to_tensor(inputs))):
            means[number] += mean.numpy() / len(batches)
            squares[number] += square.numpy() / len(batches)
    for layer, mean, square in zip(layers, means, squares, strict=True):
        layer.mean.assign(mean)
        layer.basis.assign(whitening_basis(square - np.outer(mean, mean), layer.rank))
