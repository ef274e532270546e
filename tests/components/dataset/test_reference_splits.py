import json
from pathlib import PurePosixPath

import pytest
from pydantic import ValidationError

from components.dataset.images import CheckedImage
from components.dataset.parameters import PreparationParameters
from components.dataset.prepare import prepare
from components.dataset.reference_splits import assign_reference_splits, image_number
from components.dataset.tree import Source
from components.examples import names

SIDE = 32


def image(directory: str, name: str) -> CheckedImage:
    kind, source = directory.split("/")
    label = int(kind.startswith("fake"))
    path = f"{directory}/{name}"
    return CheckedImage(
        path, Source(source, directory, label, kind.endswith("testonly")), "PNG", False, 9, 9, 1, "", path, True
    )


def sources(**counts: int) -> list[CheckedImage]:
    return [
        image(directory.replace("__", "/"), f"{number:06d}.png")
        for directory, count in counts.items()
        for number in range(count)
    ]


def sizes(train: int, evaluation: int, test: int, **others) -> PreparationParameters:
    return PreparationParameters(train=train, eval=evaluation, test=test, split_order="reference", **others)


def paths(images: list[CheckedImage]) -> list[str]:
    return [item.path for item in images]


def test_the_golden_order_of_every_split_is_reproduced(shared_folder):
    golden = json.loads((shared_folder / "reference" / "golden" / "split.json").read_text())
    order = {
        split: [tuple(entry.rsplit(":", maxsplit=1)) for entry in entries] for split, entries in golden["order"].items()
    }
    found = sorted({entry for entries in order.values() for entry in entries})
    given = [
        image(f"{'fake' if label == '1' else 'real'}/{PurePosixPath(path).parent}", PurePosixPath(path).name)
        for path, label in found
    ]
    splits = assign_reference_splits(given, sizes(*golden["sizes"], seed=golden["seed"]))
    for ours, theirs in (("train", "train"), ("eval", "val"), ("test", "test")):
        assert [(item.path.partition("/")[2], str(item.source.label)) for item in splits[ours]] == order[theirs]
    assert splits["unused"] == []


def test_the_first_by_number_are_trained_on_the_next_evaluated_the_next_tested():
    given = [image(f"{kind}/{kind}_a", f"{number}.png") for number in (10, 9, 100, 2, 1) for kind in ("real", "fake")]
    splits = assign_reference_splits(given, sizes(2, 1, 1))
    numbers = {name: [image_number(item.path) for item in items if item.source.label] for name, items in splits.items()}
    assert {name: sorted(found) for name, found in numbers.items()} == {
        "train": [1, 2], "eval": [9], "test": [10], "testonly": [], "unused": [100],
    }  # fmt: skip


def test_equal_numbers_stand_in_the_order_of_their_paths():
    given = [
        image(f"{kind}/{kind}_a", name) for name in ("b_1.png", "a_01.png", "c_0.png") for kind in ("real", "fake")
    ]
    splits = assign_reference_splits(given, sizes(1, 1, 1))
    assert {path.rsplit("/", 1)[1] for path in paths(splits["train"])} == {"c_0.png"}
    assert {path.rsplit("/", 1)[1] for path in paths(splits["eval"])} == {"a_01.png"}
    assert {path.rsplit("/", 1)[1] for path in paths(splits["test"])} == {"b_1.png"}


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("fake/a/000123.png", 123),
        ("fake/a/face_7_8.png", 7),
        ("fake/a1/x9_12.webp.jpg", None),
        ("fake/a/x_12.png", 12),
        ("fake/a/face.png", None),
        ("fake/12/face-3.png", None),
    ],
)
def test_an_images_number_is_the_first_part_of_its_name_that_is_digits(path, number):
    assert image_number(path) == number


def test_a_name_without_a_number_is_refused_by_name():
    with pytest.raises(ValueError, match=r"fake/gan_a/face\.png: split order 'reference' goes by the number"):
        assign_reference_splits([*sources(real__real_a=3), image("fake/gan_a", "face.png")], sizes(1, 0, 0))


def test_camera_sources_give_a_multiple_of_the_sizes():
    given = sources(fake__gan_a=6, fake__gan_b=6, real__real_a=12)
    splits = assign_reference_splits(given, sizes(3, 2, 1, real_factor=2))
    counts = {name: sum(item.source.label == 0 for item in items) for name, items in splits.items()}
    assert counts == {"train": 6, "eval": 4, "test": 2, "testonly": 0, "unused": 0}
    assert sum(item.source.name == "gan_b" for item in splits["train"]) == 3
    with pytest.raises(ValueError, match=r"'real_a'.* 6 \+ 4 \+ 2 = 12 images, 11 are usable"):
        assign_reference_splits(sources(fake__gan_a=6, real__real_a=11), sizes(3, 2, 1, real_factor=2))


def test_testonly_sources_come_last_and_disturb_no_other_split():
    given = sources(fake__gan_a=30, real__real_a=30)
    alone = assign_reference_splits(given, sizes(10, 10, 10))
    joined = assign_reference_splits([*sources(fake_testonly__gan_z=25), *given], sizes(10, 10, 10))
    assert {name: paths(joined[name]) for name in ("train", "eval", "test")} == {
        name: paths(alone[name]) for name in ("train", "eval", "test")
    }
    assert sorted(image_number(path) for path in paths(joined["testonly"])) == list(range(10))
    few = assign_reference_splits([*sources(fake_testonly__gan_z=4), *given], sizes(10, 10, 10))
    assert len(few["testonly"]) == 4


def test_nothing_real_or_fake_to_train_on_is_refused():
    with pytest.raises(ValueError, match="fake: has no usable image to train on"):
        assign_reference_splits(sources(real__real_a=3), sizes(1, 1, 1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"split_order": "reference"}, "'reference' needs numbers of images, got fractions 0.6, 0.2, 0.2"),
        ({"real_factor": 2}, "real_factor 2 needs numbers of images"),
        ({"real_factor": 0}, "real_factor"),
        ({"split_order": "random"}, "split_order"),
        ({"split_order": "reference", "train": 5, "eval": 1, "test": 1, "seed": 2**32}, "at most 4294967295"),
    ],
)
def test_impossible_orders_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        PreparationParameters(**values)


def test_records_are_written_in_the_published_order(make_tree, tmp_path):
    import tensorflow as tf

    root = make_tree({"real/real_a": 9, "fake/gan_a": 9, "fake/gan_b": 9})
    manifest = prepare(root, tmp_path / "out", sizes(4, 3, 2, size=SIDE, seed=2021, shard_size=5))
    expected = assign_reference_splits(
        sources_of(["fake/gan_a", "fake/gan_b", "real/real_a"], 9), sizes(4, 3, 2, seed=2021)
    )
    for split in ("train", "eval", "test"):
        files = [str(tmp_path / "out" / "span-1" / split / shard) for shard in manifest.splits[split]["shards"]]
        written = [
            tf.train.Example.FromString(record).features.feature[names.PATH].bytes_list.value[0].decode()
            for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
        ]
        assert written == paths(expected[split])
    assert manifest.parameters["split_order"] == "reference"


def sources_of(directories: list[str], count: int) -> list[CheckedImage]:
    return [image(directory, f"{number:03d}.png") for directory in directories for number in range(count)]


def test_the_hashed_order_takes_the_factor_as_well(make_tree, tmp_path):
    root = make_tree({"real/real_a": 12, "fake/gan_a": 6})
    parameters = PreparationParameters(size=SIDE, train=3, eval=2, test=1, real_factor=2)
    manifest = prepare(root, tmp_path / "out", parameters)
    assert {name: dict(manifest.counts[name]) for name in ("train", "eval", "test")} == {
        "train": {"gan_a": 3, "real_a": 6}, "eval": {"gan_a": 2, "real_a": 4}, "test": {"gan_a": 1, "real_a": 2},
    }  # fmt: skip
