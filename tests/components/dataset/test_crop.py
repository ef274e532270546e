import numpy as np
import pytest
from PIL import Image

from components.dataset.crop import crop_pixels, crop_window
from tests.support.images import noise


def coordinates(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, rows + columns], axis=-1).astype(np.uint8)


def test_celeba_window_is_rows_57_to_185_and_columns_25_to_153():
    image = coordinates(218, 178)
    np.testing.assert_array_equal(crop_pixels(image, 128, "celeba"), image[57:185, 25:153])


@pytest.mark.parametrize(("height", "width", "corner"), [(128, 128, (0, 0)), (150, 140, (22, 12)), (400, 128, (57, 0))])
def test_celeba_window_of_other_sizes_stays_inside(height, width, corner):
    assert crop_window(height, width, 128, "celeba") == corner


@pytest.mark.parametrize(
    ("height", "width", "corner"), [(128, 128, (0, 0)), (129, 128, (0, 0)), (131, 130, (1, 1)), (218, 178, (45, 25))]
)
def test_centre_window(height, width, corner):
    assert crop_window(height, width, 128, "center") == corner


def test_smaller_images_are_not_enlarged():
    with pytest.raises(ValueError, match="at least 128 x 128 px, got 127 x 200"):
        crop_window(200, 127, 128, "center")


def test_celeba_is_for_128_px():
    with pytest.raises(ValueError, match="128 px only, got 64"):
        crop_window(218, 178, 64, "celeba")


@pytest.mark.parametrize("size", [100, 128])
def test_resizing_reproduces_the_golden_pictures_bit_for_bit(shared_folder, size):
    golden = shared_folder / "reference" / "golden"
    pixels = np.asarray(Image.open(golden / "images" / "256_08_photo2.png").convert("RGB"))
    expected = np.asarray(Image.open(golden / "augment" / f"256_08_photo2__dataCropResize{size}.png"))
    np.testing.assert_array_equal(crop_pixels(pixels, size, "resize"), expected)


@pytest.mark.parametrize(("height", "width"), [(60, 100), (100, 60), (61, 100), (100, 61), (64, 64)])
def test_resizing_takes_the_central_square_and_stretches_an_odd_pixel(height, width):
    pixels = noise(1, height, width)
    cut = abs(height - width) // 2
    square = pixels[cut : height - cut] if height > width else pixels[:, cut : width - cut]
    # Independent of the implementation: a Gaussian and linear interpolation as two matrices, one for each axis.
    rows, columns = (shrinking_matrix(side, 32) for side in square.shape[:2])
    expected = np.einsum("ij,jkc,lk->ilc", rows, square.astype(float), columns)
    # Truncation may fall to either side where the exact value is a whole number.
    assert np.abs(crop_pixels(pixels, 32, "resize") - np.floor(expected)).max() <= 1
    assert (crop_pixels(pixels, 32, "resize") == np.floor(expected)).mean() > 0.999


def shrinking_matrix(source: int, target: int) -> np.ndarray:
    """Returns the (target, source) matrix that smooths by a Gaussian, mirrored at the borders, and interpolates."""
    sigma = (source / target - 1) / 2
    reach = int(4 * sigma + 0.5)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    weights /= weights.sum()
    smooth = np.zeros((source, source))
    for place in range(source):
        for offset, weight in zip(offsets, weights, strict=True):
            inside = abs(place + offset)  # mirrored about the first pixel's centre
            inside = inside if inside < source else 2 * (source - 1) - inside
            smooth[place, inside] += weight
    interpolate = np.zeros((target, source))
    for place in range(target):
        at = (place + 0.5) * source / target - 0.5
        left = int(at)
        interpolate[place, left] += 1 - (at - left)
        interpolate[place, min(left + 1, source - 1)] += at - left
    return interpolate @ smooth


def test_resizing_leaves_an_image_of_the_size_as_it_is_and_enlarges_none():
    pixels = noise(2, 32, 32)
    np.testing.assert_array_equal(crop_pixels(pixels, 32, "resize"), pixels)
    np.testing.assert_array_equal(crop_pixels(noise(3, 32, 34), 32, "resize"), noise(3, 32, 34)[:, 1:33])
    with pytest.raises(ValueError, match="at least 32 x 32 px, got 31 x 40"):
        crop_pixels(noise(4, 40, 31), 32, "resize")


def test_resizing_a_flat_image_does_not_change_its_grey_level():
    for level in (0, 1, 77, 254, 255):
        assert set(crop_pixels(np.full((100, 100, 3), level, np.uint8), 32, "resize").ravel()) == {level}


def test_resizing_keeps_no_window():
    with pytest.raises(ValueError, match="'resize' keeps no window"):
        crop_window(64, 64, 32, "resize")
