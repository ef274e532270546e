import pytest

from components.dataset.images import CheckedImage
from components.dataset.parameters import PreparationParameters
from components.dataset.splits import assign_splits, drop_duplicates, split_sizes
from components.dataset.tree import Source

REAL = Source("real_a", "real/real_a", 0, False)
FAKE = Source("gan_a", "fake/gan_a", 1, False)
FAKE_TESTONLY = Source("gan_z", "fake_testonly/gan_z", 1, True)


def image(source: Source, name: str, content: str) -> CheckedImage:
    return CheckedImage(f"{source.directory}/{name}", source, "PNG", False, 32, 32, 100, "", content, True)


@pytest.mark.parametrize(
    ("available", "sizes", "expected"),
    [
        (200, (0.6, 0.2, 0.2), (120, 40, 40)),
        (5, (0.6, 0.2, 0.2), (3, 1, 1)),
        (7, (0.6, 0.2, 0.2), (4, 2, 1)),
        (1, (0.6, 0.2, 0.2), (1, 0, 0)),
        (0, (0.6, 0.2, 0.2), (0, 0, 0)),
        (10, (0.5, 0.2, 0.0), (5, 2, 0)),
        (100, (20, 0.5, 0.25), (20, 50, 25)),
        (9, (3, 3, 3), (3, 3, 3)),
    ],
)
def test_split_sizes(available, sizes, expected):
    train, evaluation, test = sizes
    assert split_sizes(available, PreparationParameters(train=train, eval=evaluation, test=test), FAKE) == expected


@pytest.mark.parametrize("available", range(60))
def test_fractions_that_sum_to_one_use_every_image(available):
    parameters = PreparationParameters(train=0.7, eval=0.1, test=0.2)
    assert sum(split_sizes(available, parameters, FAKE)) == available


def test_of_equal_images_the_first_path_of_a_trained_source_stays():
    images = [image(FAKE_TESTONLY, "0", "x"), image(FAKE, "b", "x"), image(FAKE, "a", "x"), image(REAL, "c", "y")]
    kept, duplicates, conflicts = drop_duplicates(images)
    assert [item.path for item in kept] == ["fake/gan_a/a", "real/real_a/c"]
    assert {(double.path, first.path) for double, first in duplicates} == {
        ("fake/gan_a/b", "fake/gan_a/a"),
        ("fake_testonly/gan_z/0", "fake/gan_a/a"),
    }
    assert not conflicts


def test_pixels_called_real_and_fake_are_rejected_on_both_sides():
    images = [image(REAL, "a", "x"), image(FAKE, "b", "x"), image(FAKE, "c", "x"), image(FAKE, "d", "y")]
    kept, duplicates, conflicts = drop_duplicates(images)
    assert [item.path for item in kept] == ["fake/gan_a/d"]
    assert not duplicates
    assert {item.path: item.reason for item in conflicts} == dict.fromkeys(
        ["real/real_a/a", "fake/gan_a/b", "fake/gan_a/c"], "label_conflict"
    )
    assert all("fake/gan_a/b" in item.detail for item in conflicts if item.path.startswith("real"))


def test_the_split_follows_content_not_names():
    parameters = PreparationParameters(train=4, eval=3, test=2)
    first = assign_splits(
        [image(source, f"{n}", f"{source.name}{n}") for source in (REAL, FAKE) for n in range(12)], parameters
    )
    renamed = assign_splits(
        [image(source, f"{99 - n}", f"{source.name}{n}") for source in (REAL, FAKE) for n in range(12)], parameters
    )
    for split in first:
        assert [i.content_sha256 for i in first[split]] == [i.content_sha256 for i in renamed[split]]
    assert {split: len(members) for split, members in first.items()} == {
        "train": 8, "eval": 6, "test": 4, "testonly": 0, "unused": 6,
    }  # fmt: skip


def test_another_seed_splits_otherwise():
    images = [image(source, f"{n}", f"{source.name}{n}") for source in (REAL, FAKE) for n in range(30)]
    tests = [{item.path for item in assign_splits(images, PreparationParameters(seed=seed))["test"]} for seed in (0, 1)]
    assert tests[0] != tests[1]


def test_testonly_sources_are_never_trained_on():
    images = [image(source, f"{n}", f"{source.name}{n}") for source in (REAL, FAKE, FAKE_TESTONLY) for n in range(5)]
    splits = assign_splits(images, PreparationParameters())
    assert {item.source.name for item in splits["testonly"]} == {"gan_z"}
    assert len(splits["testonly"]) == 5
