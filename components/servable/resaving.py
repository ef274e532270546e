"""Mild re-savings of an image, inside the graph: what a verdict should not depend on.

Every one of them leaves an image that nobody would tell from the first: a JPEG of quality 95, one of 85, and the image
moved by one pixel, so that blocks of a JPEG lie elsewhere.
"""

import tensorflow as tf

from components.features.encoded import read_headers
from components.features.image import decode_checked

RESAVINGS = ("jpeg_95", "jpeg_85", "shifted")
_QUALITIES = {"jpeg_95": 95, "jpeg_85": 85}
_DECODED_AT_A_TIME = 4  # an image of 100 megapixels takes 300 MB
_UNCOMPRESSED = 0


def resaved(image_bytes: tf.Tensor, resaving: str, smallest_side: int) -> tf.Tensor:
    """Decode a batch of images, change each mildly, and encode it again.

    Args:
        image_bytes: string (batch,), encoded images of any size from `smallest_side` on.
        resaving: One of `RESAVINGS`.
        smallest_side: Smallest height and width, in pixels, that models judge.

    Returns:
        string (batch,): images of the same size, upright; JPEGs of halved colour resolution, or PNGs.

    Raises:
        tf.errors.InvalidArgumentError: (when run) as `image.decode_windows`.
    """
    headers = read_headers(image_bytes, smallest_side)

    def again(row: tuple[tf.Tensor, ...]) -> tf.Tensor:
        pixels = decode_checked(*row)
        if resaving in _QUALITIES:
            return tf.io.encode_jpeg(pixels, quality=_QUALITIES[resaving], chroma_downsampling=True)
        # The last row and column come twice, lest the image falls below the smallest side.
        moved = tf.pad(pixels[1:, 1:], [[0, 1], [0, 1], [0, 0]], "SYMMETRIC")
        return tf.io.encode_png(moved, compression=_UNCOMPRESSED)

    return tf.map_fn(
        again,
        (headers.image_bytes, headers.jpeg, headers.webp, headers.orientations),
        fn_output_signature=tf.TensorSpec((), tf.string),
        parallel_iterations=_DECODED_AT_A_TIME,
    )
