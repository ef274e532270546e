import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from components.features.image import decode_windows, grey, pixels
from tests.support.images import central_window, encode, noise

SIZE = 16


def windows_of(*encoded: bytes) -> np.ndarray:
    return decode_windows(tf.constant(encoded), SIZE).numpy()


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 16), (16, 19), (40, 33), (21, 64)])
def test_the_window_is_the_centre_at_native_resolution(height, width):
    image = noise(height * width, height, width)
    np.testing.assert_array_equal(windows_of(encode(image))[0], central_window(image, SIZE))


def test_images_of_different_sizes_and_formats_share_a_batch():
    small, large = noise(1, 16, 16), noise(2, 31, 50)
    windows = windows_of(encode(small, "PNG"), encode(large, "BMP"))
    np.testing.assert_array_equal(windows, [small, central_window(large, SIZE)])


def test_jpeg_is_decoded_to_exactly_what_pillow_decodes():
    smooth = np.asarray(Image.fromarray(noise(3, 4, 4)).resize((16, 16), Image.Resampling.BICUBIC))
    encoded = encode(smooth, "JPEG")
    expected = np.asarray(Image.open(io.BytesIO(encoded)), int)
    np.testing.assert_array_equal(windows_of(encoded)[0], expected)


def test_a_grey_image_is_spread_over_three_channels():
    grey_image = noise(4, 16, 16)[..., 0]
    np.testing.assert_array_equal(windows_of(encode(grey_image))[0], np.repeat(grey_image[..., np.newaxis], 3, axis=2))


@pytest.mark.parametrize(("height", "width"), [(15, 16), (16, 15), (1, 1)])
def test_an_image_smaller_than_the_window_is_refused_with_the_windows_size(height, width):
    with pytest.raises(tf.errors.InvalidArgumentError, match="smaller than the window of 16 x 16 pixels"):
        windows_of(encode(noise(5, height, width)))


PNG, JPEG = encode(noise(6, 64, 64)), encode(noise(6, 64, 64), "JPEG")
UNDECODABLE = {
    "nothing": b"",
    "text": b"this is not an image",
    "zeros": bytes(1000),
    "a PNG's first half": PNG[: len(PNG) // 2],
    "a PNG's header": PNG[:33],
    "a JPEG's header": JPEG[:100],
    "a JPEG's first half": JPEG[: len(JPEG) // 2],
    "a PNG with a broken checksum": PNG[:60] + bytes([PNG[60] ^ 0xFF]) + PNG[61:],
}


@pytest.mark.parametrize("encoded", UNDECODABLE.values(), ids=UNDECODABLE.keys())
def test_what_cannot_be_decoded_is_an_invalid_argument(encoded):
    with pytest.raises(tf.errors.InvalidArgumentError):
        windows_of(encoded)


def test_one_bad_image_refuses_its_batch():
    with pytest.raises(tf.errors.InvalidArgumentError):
        windows_of(PNG, b"junk", PNG)


def test_windows_have_a_static_shape_inside_tf_data():
    dataset = tf.data.Dataset.from_tensors(PNG).batch(2).map(lambda encoded: decode_windows(encoded, SIZE))
    assert dataset.element_spec == tf.TensorSpec((None, SIZE, SIZE, 3), tf.uint8)


def test_pixels_map_0_to_255_onto_minus_one_to_one():
    scaled = pixels(tf.constant(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)))
    assert scaled.dtype == tf.float32
    np.testing.assert_allclose(scaled[0, ..., 0].numpy().ravel(), np.linspace(-1.0, 1.0, 256), atol=1e-6)


def test_grey_equals_pillow_bit_for_bit():
    image = np.random.default_rng(7).integers(0, 256, (256, 256, 3), np.uint8)
    image[0] = np.arange(256, dtype=np.uint8)[:, np.newaxis]  # every grey
    luma = grey(tf.constant(image[np.newaxis])).numpy()
    np.testing.assert_array_equal(luma[0, ..., 0], np.asarray(Image.fromarray(image).convert("L"), np.float32))
    assert luma.dtype == np.float32
