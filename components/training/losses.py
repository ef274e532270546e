"""Cross-entropy of one sigmoid output or of a softmax, with label smoothing."""

import tensorflow as tf


def cross_entropy(targets: tf.Tensor, logits: tf.Tensor, smoothing: float = 0.0) -> tf.Tensor:
    """Return binary cross-entropy for one output, categorical cross-entropy for several: float32 (batch,).

    Args:
        targets: int32 (batch,): 0 or 1; for several outputs the index of the class.
        logits: float32 (batch, outputs).
        smoothing: Share of each target that is spread evenly over all classes (Szegedy et al. 2016, section 7).
    """
    classes = int(logits.shape[-1])
    if classes == 1:
        share = tf.cast(targets, tf.float32) * (1.0 - smoothing) + 0.5 * smoothing
        return tf.nn.sigmoid_cross_entropy_with_logits(share, logits[:, 0])
    if not smoothing:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
    shares = tf.one_hot(targets, classes) * (1.0 - smoothing) + smoothing / classes
    return tf.nn.softmax_cross_entropy_with_logits(shares, logits)
