"""Where in the image (or in its spectrum) the evidence lies.

Two kinds of decision layer are linear in the last features f, so the share that one place contributes to the logit
has a closed form and needs no gradient:

    averaged features (pixel input):  map[h, w] = sum_k w[k] f[h, w, k]           logit = mean(map) + bias
    flattened features (DCT input):   map[h, w] = sum_k W[h, w, k] f[h, w, k]     logit = sum(map) + bias

The first is the class activation map (Zhou et al. 2016, equation 2); the second is HiResCAM (Draelos & Carin 2020)
on the logit, whose gradient with respect to f is W itself.

A third kind reads the mean m[k] and the standard deviation s[k] = sqrt(variance + 1e-4) of each feature over places,
with weights w[k] and v[k]. Its map is HiResCAM on the logit as well, times the number of places as for averages. The
gradient has a closed form too, dm/df = 1 / places and ds/df = (f - m) / (places s):

    map[h, w] = sum_k (w[k] + v[k] (f[h, w, k] - m[k]) / s[k]) f[h, w, k]

Its mean is sum_k w[k] m[k] + v[k] (s[k] - 1e-4 / s[k]): the logit but for the bias, what else the decision reads that
has no place (the summary of the network "blocks"), and 1e-4.

A map depends on its own image alone, never on its neighbours in the batch.
"""

import tensorflow as tf

from components.models.pooling import mean_and_deviation


def contribution_map(features: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Returns what each place contributes to the logit.

    Args:
        features: float32 (batch, height, width, channels): the features that the decision layer reduces.
        kernel: float32 (channels, 1) for averaged or (height * width * channels, 1) for flattened features.

    Returns:
        float32 (batch, height, width); positive speaks for the positive class, negative against it.

    Raises:
        ValueError: if the kernel fits neither way of reducing the features.
    """
    _, height, width, channels = features.shape
    if kernel.shape[0] == channels:
        weights = tf.reshape(kernel, (1, 1, 1, channels))
    elif kernel.shape[0] == height * width * channels:
        weights = tf.reshape(kernel, (1, height, width, channels))
    else:
        raise ValueError(
            f"kernel: must have {channels} rows (averaged) or {height * width * channels} (flattened) for features of "
            f"shape {features.shape}, got {kernel.shape}."
        )
    return tf.reduce_sum(features * weights, axis=-1)


def spread_map(features: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Returns what each place contributes to the logit of a decision on means and standard deviations over places.

    Args:
        features: float32 (batch, height, width, channels): the features that are reduced.
        kernel: float32 (2 * channels or more, 1): weights of the means, then of the deviations, then of what has no
            place.

    Returns:
        float32 (batch, height, width); positive speaks for the positive class, negative against it.

    Raises:
        ValueError: if the kernel has fewer rows.
    """
    channels = features.shape[-1]
    if kernel.shape[0] < 2 * channels:
        raise ValueError(
            f"kernel: must have at least {2 * channels} rows for means and deviations of {channels} channels, got "
            f"{kernel.shape}."
        )
    mean, deviation = (one[:, tf.newaxis, tf.newaxis] for one in mean_and_deviation(features))
    of_mean, of_deviation = kernel[:channels, 0], kernel[channels : 2 * channels, 0]
    return tf.reduce_sum((of_mean + of_deviation * (features - mean) / deviation) * features, axis=-1)
