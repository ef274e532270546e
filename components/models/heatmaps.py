"""Where in the image (or in its spectrum) the evidence lies.

Both kinds of decision layer are linear in the last features f, so the share that one place contributes to the logit
has a closed form and needs no gradient:

    averaged features (pixel input):  map[h, w] = sum_k w[k] f[h, w, k]           logit = mean(map) + bias
    flattened features (DCT input):   map[h, w] = sum_k W[h, w, k] f[h, w, k]     logit = sum(map) + bias

The first is the class activation map (Zhou et al. 2016, equation 2); the second is HiResCAM (Draelos & Carin 2020)
on the logit, whose gradient with respect to f is W itself. A map depends on its own image alone, never on
its neighbours in the batch.
"""

import tensorflow as tf


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
