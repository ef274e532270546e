import numpy as np
import pytest

from components.dataset.crop import crop_pixels, crop_window


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
