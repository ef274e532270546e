import io

import numpy as np
import pytest
from PIL import Image

from components.dataset.compression import describe_compression
from components.dataset.encoding import encode_alike
from components.dataset.parameters import PreparationParameters
from components.dataset.prepare import prepare
from components.examples import names
from tests.support.given_files import records, tree_of_formats
from tests.support.images import central_window, noise

SIDE = 32


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize("quality", [1, 75, 100])
def test_a_quality_gives_a_jpeg_of_that_quality_with_halved_chroma(quality):
    image = opened(encode_alike(noise(1), quality))
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (SIDE, SIDE))
    assert describe_compression(image) == f"quality {quality}, 4:2:0"
    assert "progressive" not in image.info


def test_equal_pixels_give_equal_bytes_and_grey_ones_keep_three_channels():
    grey = np.repeat(noise(2)[..., :1], 3, axis=2)
    assert encode_alike(grey, 90) == encode_alike(grey.copy(), 90)
    assert opened(encode_alike(grey, 90)).mode == "RGB"


def test_png_keeps_the_pixels():
    np.testing.assert_array_equal(np.asarray(opened(encode_alike(noise(3), "png"))), noise(3))


def test_all_images_are_stored_alike_whatever_they_came_as(tmp_path):
    root = tree_of_formats(tmp_path / "images", real="JPEG", fake="PNG", count=6)
    prepare(root, tmp_path / "out", PreparationParameters(size=SIDE, recompress=85))
    stored = records(tmp_path / "out" / "span-1")
    assert len(stored) == 12
    assert {describe_compression(opened(record[names.IMAGE_BYTES])) for record in stored} == {"quality 85, 4:2:0"}
    assert {record[names.RECOMPRESSION] for record in stored} == {85}
    assert {record[names.FORMAT] for record in stored} == {b"JPEG", b"PNG"}  # as given


def test_the_jpeg_step_comes_after_the_crop_and_the_perturbation(tmp_path):
    root = tree_of_formats(tmp_path / "images", real="PNG", fake="PNG", count=6, side=40)
    prepare(root, tmp_path / "cropped", PreparationParameters(size=SIDE, recompress=85))
    prepare(root, tmp_path / "noisy", PreparationParameters(size=SIDE, perturb="noise"))
    prepare(root, tmp_path / "both", PreparationParameters(size=SIDE, perturb="noise", recompress=85))
    noisy = {record[names.PATH]: record[names.IMAGE_BYTES] for record in records(tmp_path / "noisy" / "span-1")}
    for record in records(tmp_path / "cropped" / "span-1"):
        given = np.asarray(Image.open(root / record[names.PATH].decode()))
        assert record[names.IMAGE_BYTES] == encode_alike(central_window(given, SIDE), 85)
    for record in records(tmp_path / "both" / "span-1"):
        perturbed = np.asarray(opened(noisy[record[names.PATH]]))
        assert record[names.IMAGE_BYTES] == encode_alike(perturbed, 85)
