"""Stitching: one heatmap of a whole image from the maps of its windows."""

import tensorflow as tf

from components.features.views import Views

SIDE = 64  # cells of a stitched map along height and width, whatever the image's size


def stitch(maps: tf.Tensor, views: Views) -> tf.Tensor:
    """Lay the maps of windows over their whole images.

    A cell takes the mean of what the windows over its centre say there (the nearest place of each map). A cell that no
    window covers is 0: nothing was seen there that speaks for or against.

    Args:
        maps: float32 (windows, models, height, width), the maps of each window.
        views: The windows.

    Returns:
        float32 (batch, models, `SIDE`, `SIDE`): cell (r, c) stands for the r-th of `SIDE` equal strips from the top
        of the upright image, and the c-th from the left.
    """
    size = views.windows.shape[1]
    sides = tf.cast(tf.gather(views.sizes, views.rows), tf.float32)
    centres = (tf.range(SIDE, dtype=tf.float32) + 0.5) / SIDE
    # (windows, 2, SIDE): how far each cell's centre lies behind the start of the window, in pixels.
    offsets = sides[:, :, tf.newaxis] * centres - tf.cast(views.starts, tf.float32)[:, :, tf.newaxis]
    covered = (offsets >= 0) & (offsets < float(size))
    places = tf.cast(offsets / float(size) * [[float(maps.shape[2])], [float(maps.shape[3])]], tf.int32)
    places = tf.where(covered, places, 0)
    found = tf.gather(maps, places[:, 0], axis=2, batch_dims=1)
    found = tf.gather(found, places[:, 1], axis=3, batch_dims=1)
    weights = tf.cast(covered[:, 0, :, tf.newaxis] & covered[:, 1, tf.newaxis, :], tf.float32)[:, tf.newaxis]
    batch = tf.shape(views.sizes)[0]
    return tf.math.divide_no_nan(
        tf.math.unsorted_segment_sum(found * weights, views.rows, batch),
        tf.math.unsorted_segment_sum(weights, views.rows, batch),
    )
