import io

import pytest
from PIL import Image

from components.dataset.compression import describe_compression
from tests.support.images import noise


def described(image: Image.Image, image_format: str, **options) -> str:
    stream = io.BytesIO()
    image.save(stream, image_format, **options)
    with Image.open(stream) as opened:
        return describe_compression(opened)


COLOUR = Image.fromarray(noise(1))


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 90, 95, 99, 100])
def test_the_quality_that_a_file_was_saved_with_is_read_from_its_tables(quality):
    assert described(COLOUR, "JPEG", quality=quality) == f"quality {quality}, 4:2:0"


@pytest.mark.parametrize(("subsampling", "name"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_chroma_subsampling_is_named(subsampling, name):
    assert described(COLOUR, "JPEG", quality=80, subsampling=subsampling) == f"quality 80, {name}"


def test_a_grey_jpeg_has_no_chroma():
    assert described(COLOUR.convert("L"), "JPEG", quality=80) == "quality 80, grey"


def test_tables_of_ones_own_are_told_apart_though_the_nearest_quality_is_the_same():
    with io.BytesIO() as stream:
        COLOUR.save(stream, "JPEG", quality=90)
        tables = [list(table) for table in Image.open(stream).quantization.values()]
    other = [list(tables[0]), list(tables[1])]
    other[0][63] += 1
    another = [list(tables[0]), list(tables[1])]
    another[1][0] += 1
    names = {described(COLOUR, "JPEG", qtables=changed) for changed in (tables, other, another)}
    assert "quality 90, 4:2:0" in names
    assert len(names) == 3
    assert all(name.startswith("about quality 90 (tables ") for name in names - {"quality 90, 4:2:0"})


@pytest.mark.parametrize("image_format", ["PNG", "WEBP"])
def test_other_formats_are_no_jpeg(image_format):
    assert described(COLOUR, image_format) == "not JPEG"
