"""Reference statistics: measured as requests are, of the files as they were given."""

import numpy as np
import pytest
from tfx.types import standard_artifacts

from components.monitoring.statistics import class_counts, read_statistics, row_count
from components.reference_statistics import executor
from components.reference_statistics.reference import judged_rows
from serving.request_log.columns import measure
from tests.support.images import encode, source_image, write_examples
from tests.support.small_dataset import prepare_small
from tests.support.small_servable import COLOURS, export_servable

SOURCES = ("real_noise", "smooth_a")


@pytest.fixture(scope="module")
def servable(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "Format-Serving"
    export_servable(path)
    return path


def files(folder):
    return [str(path) for path in folder.glob("*.tfrecord.gz")]


def test_answers_are_the_servables_and_frequencies_those_of_the_stored_image(servable, tmp_path):
    images = [encode(np.full((40, 48, 3), colour, np.uint8)) for colour, _ in COLOURS.values()]
    path = tmp_path / "test" / "examples.tfrecord.gz"
    write_examples(path, [("real_noise", f"{number}.png", image) for number, image in enumerate(images)])
    rows = list(judged_rows(servable, [str(path)], most=100))
    assert [answer.verdict for _, answer in rows] == [verdict for _, verdict in COLOURS.values()]
    for (measured, _), image in zip(rows, images, strict=True):
        expected = measure(image)
        assert measured.log_dct_bands == expected.log_dct_bands
        assert (measured.format, measured.height, measured.width, measured.bytes) == ("PNG", 40, 48, None)


def test_format_size_and_quality_are_those_of_the_given_file(servable, tmp_path):
    from components.dataset.parameters import PreparationParameters
    from components.dataset.prepare import prepare

    rng = np.random.default_rng(0)
    for source in SOURCES:
        folder = tmp_path / "images" / ("real" if source.startswith("real") else "fake") / source
        folder.mkdir(parents=True)
        for number in range(6):
            (folder / f"{number}.jpg").write_bytes(encode(source_image(source, rng), "JPEG"))  # 36 x 40, quality 75
    prepare(tmp_path / "images", tmp_path / "dataset", PreparationParameters(size=32, span=1, workers=1))
    rows = [image for image, _ in judged_rows(servable, files(tmp_path / "dataset" / "span-1" / "train"), most=100)]
    assert rows
    assert {(row.format, row.height, row.width, row.jpeg_quality) for row in rows} == {("JPEG", 36, 40, 75)}


def test_the_step_writes_the_statistics_of_its_split_of_so_many_images(servable, tmp_path):
    dataset = prepare_small(tmp_path, {1: SOURCES})
    examples, model, statistics = (
        kind() for kind in (standard_artifacts.Examples, standard_artifacts.Model, standard_artifacts.ExampleStatistics)
    )
    examples.split_names, examples.uri = '["train"]', str(tmp_path)
    (tmp_path / "Split-train").symlink_to(dataset / "span-1" / "train")
    model.uri, statistics.uri = str(servable.parent), str(tmp_path / "statistics")
    executor.ReferenceStatisticsExecutor().Do(
        {"examples": [examples], "model": [model]},
        {"statistics": [statistics]},
        {"split": "train", "most_images": 5, "source_digest": ""},
    )
    written = read_statistics(tmp_path / "statistics" / "Split-train" / executor.STATISTICS_FILE)
    assert row_count(written) == 5
    assert class_counts(written)["format"] == {"PNG": 5}
    assert sum(class_counts(written)["verdict"].values()) == 5
