import contextlib
import hashlib
import io
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import components.dataset.prepare as module
from components.dataset import pool
from components.dataset.crop import crop_pixels
from components.dataset.manifest import Manifest, newest_span
from components.dataset.parameters import PreparationParameters
from components.dataset.perturbations import ORDER
from components.dataset.prepare import prepare
from components.examples import names
from tests.support.images import central_window, encode, noise

SIDE = 32
SPLITS = ("train", "eval", "test", "testonly")


def read(span: Path, split: str) -> list[dict]:
    """Reads a split as the pipeline does: glob, tf.data, tf.io."""
    import tensorflow as tf

    numbers = (names.LABEL, names.HEIGHT, names.WIDTH)
    features = (*names.REQUIRED, names.PERTURBATION)
    spec = {name: tf.io.FixedLenFeature([1], tf.int64 if name in numbers else tf.string) for name in features}
    files = sorted(str(path) for path in span.glob(f"{split}/*.tfrecord.gz"))
    assert files
    records = tf.data.TFRecordDataset(files, compression_type="GZIP")
    return [
        {name: value.numpy()[0] for name, value in tf.io.parse_single_example(record, spec).items()}
        for record in records
    ]


def tree_bytes(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_tensorflow_reads_back_every_feature_and_pixel(make_tree, tmp_path):
    import tensorflow as tf

    root = make_tree({"real/real_a": 5, "fake/gan_a": 5, "fake_testonly/newgan_x": 2})
    manifest = prepare(root, tmp_path / "out", PreparationParameters(size=SIDE))
    seen = []
    for split in SPLITS:
        for record in read(tmp_path / "out" / "span-1", split):
            path = record[names.PATH].decode()
            kind, source, _ = path.split("/")
            assert record[names.IMAGE_BYTES] == (root / path).read_bytes()
            pixels = tf.io.decode_image(record[names.IMAGE_BYTES], channels=3).numpy()
            np.testing.assert_array_equal(pixels, np.asarray(Image.open(root / path)))
            assert record[names.LABEL] == (0 if kind == "real" else 1)
            assert record[names.SOURCE].decode() == source
            assert record[names.ARCHITECTURE].decode() == source.split("_")[0]
            assert record[names.FORMAT] == b"PNG"
            assert (record[names.HEIGHT], record[names.WIDTH]) == (SIDE, SIDE)
            assert {"path": path, "source": source} in [
                {"path": item["path"], "source": item["source"]} for item in manifest.images[split]
            ]
            seen.append(path)
    assert sorted(seen) == sorted(str(path.relative_to(root)) for path in root.rglob("*.png"))


def test_every_split_has_a_shard_even_without_images(small_tree, tmp_path):
    manifest = prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE, train=0.5, eval=0.5, test=0))
    for split, count in zip(SPLITS, (15, 15, 0, 0), strict=True):
        assert len(read(tmp_path / "out" / "span-1", split)) == count == manifest.splits[split]["images"]


def test_shards_are_numbered_and_full(small_tree, tmp_path):
    prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE, train=0.6, shard_size=8))
    train = tmp_path / "out" / "span-1" / "train"
    assert sorted(path.name for path in train.iterdir()) == [
        f"examples-{number:05d}-of-00003.tfrecord.gz" for number in range(3)
    ]
    assert len(read(tmp_path / "out" / "span-1", "train")) == 18


def test_larger_images_are_cropped_and_stored_without_loss(make_tree, tmp_path):
    root = make_tree({"real/real_a": 2}, side=45)
    pixels = noise(50, 50, 61)
    (root / "fake" / "gan_a").mkdir(parents=True)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True)
    (root / "fake" / "gan_a" / "1.webp").write_bytes(buffer.getvalue())
    prepare(root, tmp_path / "out", PreparationParameters(size=SIDE, train=1.0, eval=0.0, test=0.0))
    records = {record[names.PATH].decode(): record for record in read(tmp_path / "out" / "span-1", "train")}
    assert len(records) == 3
    for path, record in records.items():
        given = pixels if path.endswith("webp") else np.asarray(Image.open(root / path))
        stored = Image.open(io.BytesIO(record[names.IMAGE_BYTES]))
        assert stored.format == "PNG"
        np.testing.assert_array_equal(np.asarray(stored), central_window(given, SIDE))
        assert record[names.FORMAT].decode() == ("WEBP" if path.endswith("webp") else "PNG")


def test_a_jpeg_of_the_right_size_keeps_its_bytes(small_tree, tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(noise(3)).save(buffer, "JPEG", quality=50)
    (small_tree / "fake" / "gan_a" / "000.jpg").write_bytes(buffer.getvalue())
    prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE, train=1.0, eval=0.0, test=0.0))
    stored = {record[names.PATH]: record for record in read(tmp_path / "out" / "span-1", "train")}
    assert stored[b"fake/gan_a/000.jpg"][names.IMAGE_BYTES] == buffer.getvalue()


def test_no_image_stands_in_two_splits_even_under_another_name_or_format(make_tree, tmp_path):
    root = make_tree({"real/real_a": 30, "fake/gan_a": 30, "fake/gan_b": 30, "real_testonly/real_z": 10})
    for number in range(30):  # each image of real_a and gan_a again, as lossless WebP, in the same and another source
        for source, other in (("real/real_a", "real_testonly/real_z"), ("fake/gan_a", "fake/gan_b")):
            image = Image.open(root / source / f"{number:03d}.png")
            image.save(root / source / f"copy{number:03d}.webp", lossless=True)
            image.save(root / other / f"again{number:03d}.webp", lossless=True)
    manifest = prepare(root, tmp_path / "out", PreparationParameters(size=SIDE))
    assert manifest.totals["duplicates"] == 120
    hashes = [
        hashlib.sha256(np.asarray(Image.open(io.BytesIO(record[names.IMAGE_BYTES])).convert("RGB")).tobytes()).digest()
        for split in SPLITS
        for record in read(tmp_path / "out" / "span-1", split)
    ]
    assert len(hashes) == len(set(hashes)) == manifest.totals["accepted"] == 100
    listed = [item["sha256"] for split in SPLITS for item in manifest.images[split]]
    assert len(set(listed)) == 100
    assert manifest.counts["testonly"] == {"real_z": 10}  # the trained source keeps what both had


def test_classes_are_mixed_within_a_split(make_tree, tmp_path):
    root = make_tree({"real/real_a": 40, "fake/gan_a": 40})
    prepare(root, tmp_path / "out", PreparationParameters(size=SIDE, train=1.0, eval=0.0, test=0.0))
    labels = [int(record[names.LABEL]) for record in read(tmp_path / "out" / "span-1", "train")]
    changes = sum(a != b for a, b in itertools.pairwise(labels))
    assert changes > 20  # 1 if sorted, about 40 if shuffled


COUNTS = {"train": 6, "eval": 2, "test": 2}
MODES = [
    {},
    {"crop": "resize", "perturb": "blur"},
    {"perturb": "crop"},
    {"perturb": "jpeg", "recompress": "png"},
    {"perturb": "noise", "split_order": "reference", **COUNTS},
    {"perturb": "multi", "recompress": 75, "split_order": "reference", "real_factor": 2, **COUNTS},
    {"perturb": "blur", "perturb_mode": "reference", "crop": "resize", "split_order": "reference", **COUNTS},
    {"perturb": "multi", "perturb_mode": "reference"},
]


@pytest.fixture(scope="module")
def two_processes():
    """Two worker processes for all modes: starting them takes seconds, their work milliseconds."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as executor:
        yield executor


@pytest.fixture
def counted_pools(two_processes, monkeypatch):
    """Makes preparation work in other processes however few the files, and counts how often it asks for them."""
    asked = []

    @contextlib.contextmanager
    def lend(workers, *others):
        asked.append(workers)
        yield two_processes

    monkeypatch.setattr(pool, "_FEWEST_FOR_A_POOL", 0)
    monkeypatch.setattr(pool, "ProcessPoolExecutor", lend)
    return asked


@pytest.mark.parametrize("values", MODES, ids=lambda values: "-".join(map(str, values.values())) or "defaults")
def test_one_and_two_workers_write_the_same_bytes(make_tree, tmp_path, counted_pools, values):
    root = make_tree({"real/real_a": 40, "fake/gan_a": 20, "fake_testonly/gan_z": 3})
    (root / "fake" / "gan_a" / "broken_99.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    Image.fromarray(noise(9, 40, 50)).save(root / "fake" / "gan_a" / "larger_1.png")
    for workers in (1, 2):
        prepare(root, tmp_path / f"{workers}", PreparationParameters(size=SIDE, workers=workers, **values))
    assert counted_pools == [2]  # for both passes, with two workers only
    one = tree_bytes(tmp_path / "1")
    assert len(one) == 5
    assert one == tree_bytes(tmp_path / "2")


def test_two_workers_write_the_same_celeba_windows_as_one(make_tree, tmp_path, counted_pools):
    root = make_tree({"real/real_a": 20, "fake/gan_a": 20}, side=140)
    for workers in (1, 2):
        parameters = PreparationParameters(size=128, crop="celeba", perturb="multi", workers=workers)
        prepare(root, tmp_path / f"{workers}", parameters)
    assert counted_pools == [2]
    assert tree_bytes(tmp_path / "1") == tree_bytes(tmp_path / "2")


def test_the_perturbations_of_each_image_stand_in_its_record(make_tree, tmp_path):
    root = make_tree({"real/real_a": 40, "fake/gan_a": 40})
    values = {"size": SIDE, "train": 1.0, "eval": 0.0, "test": 0.0}
    for mode in ("corrected", "reference"):
        parameters = PreparationParameters(perturb="multi", perturb_mode=mode, **values)
        manifest = prepare(root, tmp_path / mode, parameters)
        records = read(tmp_path / mode / "span-1", "train")
        named = [record[names.PERTURBATION].decode() for record in records]
        applied = [[] if name == "none" else name.split("+") for name in named]
        assert Counter(name for each in applied for name in each) == manifest.perturbed
        assert all(each == [name for name in ORDER if name in each] for each in applied)
        assert len(set(named)) > 8  # of 16 combinations
        for record, each in zip(records, applied, strict=True):
            untouched = record[names.IMAGE_BYTES] == (root / record[names.PATH].decode()).read_bytes()
            assert untouched == (not each)
    prepare(root, tmp_path / "clean", PreparationParameters(**values))
    assert {record[names.PERTURBATION] for record in read(tmp_path / "clean" / "span-1", "train")} == {b"none"}


def test_resized_images_are_what_is_stored(make_tree, tmp_path):
    root = make_tree({"real/real_a": 6, "fake/gan_a": 6}, side=50)
    (root / "fake" / "gan_a" / "small.png").write_bytes(encode(noise(1, 31, 60)))
    manifest = prepare(root, tmp_path / "out", PreparationParameters(size=SIDE, crop="resize"))
    assert {item.path: item.reason for item in manifest.rejected} == {"fake/gan_a/small.png": "too_small"}
    for record in read(tmp_path / "out" / "span-1", "train"):
        given = np.asarray(Image.open(root / record[names.PATH].decode()))
        stored = np.asarray(Image.open(io.BytesIO(record[names.IMAGE_BYTES])))
        np.testing.assert_array_equal(stored, crop_pixels(given, SIDE, "resize"))


def test_a_dataset_of_the_format_before_is_read_and_not_written_over(small_tree, tmp_path):
    out = tmp_path / "out"
    prepare(small_tree, out, PreparationParameters(size=SIDE))
    file = out / "span-1" / "manifest.json"
    content = json.loads(file.read_text())
    del content["confounds"]
    file.write_text(json.dumps({**content, "format_version": 1}))
    older = Manifest.load(out / "span-1")
    assert (older.format_version, older.totals["accepted"], older.confounds) == (1, 30, {})
    with pytest.raises(ValueError, match=r"span-1: exists in format 1, today's is 2.*another span, e\.g\. 2"):
        prepare(small_tree, out, PreparationParameters(size=SIDE))
    assert json.loads(file.read_text())["format_version"] == 1


def test_the_dataset_is_at_most_a_tenth_larger_than_the_images(make_tree, tmp_path):
    root = make_tree({"real/real_a": 20, "fake/gan_a": 20}, side=64)
    manifest = prepare(root, tmp_path / "out", PreparationParameters(size=64))
    images = sum(path.stat().st_size for path in root.rglob("*.png"))
    dataset = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert dataset <= 1.1 * images
    assert manifest.bytes["encoded_images"] == images
    shards = sum(path.stat().st_size for path in (tmp_path / "out").rglob("*.gz"))
    assert manifest.bytes["dataset"] == shards


def test_adding_a_source_moves_no_image_of_the_others(make_tree, tmp_path):
    root = make_tree({"real/real_a": 20, "fake/gan_b": 20})
    before = prepare(root, tmp_path / "out", PreparationParameters(size=SIDE, span=1))
    make_tree({"fake/gan_a": 20})
    after = prepare(root, tmp_path / "out", PreparationParameters(size=SIDE, span=2))
    for split in SPLITS:
        assert [item for item in after.images[split] if item["source"] != "gan_a"] == before.images[split]
    assert after.counts["train"]["gan_a"] == 12


def test_preparing_the_same_again_writes_nothing_and_another_is_refused(small_tree, tmp_path):
    out = tmp_path / "out"
    first = prepare(small_tree, out, PreparationParameters(size=SIDE))
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert prepare(small_tree, out, PreparationParameters(size=SIDE, workers=1)) == first
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == stamps
    with pytest.raises(ValueError, match=r"span-1: exists and was made of other parameters.*another span, e\.g\. 2"):
        prepare(small_tree, out, PreparationParameters(size=SIDE, seed=1))
    (small_tree / "fake" / "gan_a" / "new.png").write_bytes(encode(noise(123)))
    with pytest.raises(ValueError, match="span-1: exists and was made of other files"):
        prepare(small_tree, out, PreparationParameters(size=SIDE))
    assert prepare(small_tree, out, PreparationParameters(size=SIDE, span=2)).totals["accepted"] == 31
    assert newest_span(out) == 2
    assert newest_span(tmp_path / "nothing") is None


def test_a_killed_run_leaves_no_span_and_the_next_one_is_whole(make_tree, tmp_path):
    root = make_tree({"real/real_a": 30, "fake/gan_a": 30})
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from components.dataset.parameters import PreparationParameters\n"
        "from components.dataset.prepare import prepare\n"
        "def kill(done, total, what):\n"
        "    if what == 'writing train' and done == 20:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "prepare(Path(sys.argv[1]), Path(sys.argv[2]), PreparationParameters(size=32, workers=1), progress=kill)\n"
    )
    out = tmp_path / "out"
    repository = Path(module.__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", script, str(root), str(out)],
        check=False,
        env={**os.environ, "PYTHONPATH": str(repository)},
    )
    assert killed.returncode == -signal.SIGKILL
    assert list(out.glob("span-*")) == []
    assert [path.name for path in out.iterdir()] == [".partial.span-1"]

    prepare(root, out, PreparationParameters(size=SIDE))
    prepare(root, tmp_path / "undisturbed", PreparationParameters(size=SIDE))
    assert tree_bytes(out) == tree_bytes(tmp_path / "undisturbed")
    assert [path.name for path in out.iterdir()] == ["span-1"]


def test_a_file_that_changes_during_the_run_ends_it_without_a_span(small_tree, tmp_path):
    def change(done, total, what):
        if what == "checking images":
            (small_tree / "fake" / "gan_a" / "000.png").write_bytes(encode(noise(321)))

    with pytest.raises(RuntimeError, match=r"gan_a/000\.png: changed while"):
        prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE), progress=change)
    assert list((tmp_path / "out").glob("span-*")) == []


def test_progress_reaches_its_total_in_both_passes(small_tree, tmp_path):
    calls = []
    prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE), progress=lambda *call: calls.append(call))
    last = {what.split()[0]: (done, total) for done, total, what in calls}
    assert last == {"checking": (30, 30), "writing": (30, 30)}


def test_perturbed_images_differ_and_are_counted(make_tree, tmp_path):
    root = make_tree({"real/real_a": 40, "fake/gan_a": 40})
    manifest = prepare(
        root, tmp_path / "out", PreparationParameters(size=SIDE, perturb="noise", train=1.0, eval=0, test=0)
    )
    changed = sum(
        record[names.IMAGE_BYTES] != (root / record[names.PATH].decode()).read_bytes()
        for record in read(tmp_path / "out" / "span-1", "train")
    )
    assert manifest.perturbed == {"noise": changed}
    assert 25 <= changed <= 55  # 80 draws at 1/2: 40 +- 3.3 standard deviations


def test_the_manifest_on_disk_is_the_one_returned(small_tree, tmp_path):
    manifest = prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE))
    assert Manifest.load(tmp_path / "out" / "span-1") == manifest
    assert Manifest.load(tmp_path / "out" / "span-1" / "manifest.json") == manifest
    assert manifest.labels == {"gan_a": 1, "gan_b": 1, "real_a": 0}
    assert manifest.counts["train"] == {"gan_a": 6, "gan_b": 6, "real_a": 6}


@pytest.mark.parametrize("content", [None, "{", "[]", '{"format_version": 99}'])
def test_what_is_no_manifest_is_refused_by_name(tmp_path, content):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json: "):
        Manifest.load(tmp_path / "manifest.json")


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"real/real_a": 1}, "has no directory 'fake'"),
        ({"fake/gan_a": 1}, "has no directory 'real'"),
        ({"real/real_a": 1, "fake": 1}, "fake: holds no source"),
        ({"real/same": 1, "fake/same": 1}, "real/same: the same source stands at fake/same"),
        ({"real/real_a": 1, "fake/gan_a": 1, "fake_testonly/gan_a": 1}, "fake_testonly/gan_a: the same source"),
        ({"real/real": 1, "fake/gan_a": 1}, "'real' is a verdict"),
        ({"real/real_a": 1, "fake/unknown_generator": 1}, "'unknown_generator' is a verdict"),
        ({"real/real_a": 1, "fake/uncertain": 1}, "'uncertain' is a verdict"),
        ({"real/real_a": 1, "fake/gan a": 1}, "fake/gan a: a source's name must be"),
        ({"real/real_a": 1, "fake/-gan": 1}, "fake/-gan: a source's name must be"),
        ({"real/real_a": 0, "fake/gan_a": 3}, "real: has no usable image to train on"),
    ],
)
def test_an_unfit_tree_is_refused_before_anything_is_written(make_tree, tmp_path, counts, message):
    root = make_tree(counts)
    with pytest.raises(ValueError, match=message):
        prepare(root, tmp_path / "out", PreparationParameters(size=SIDE))
    assert not (tmp_path / "out").exists()


def test_too_few_images_for_the_split_name_source_need_and_supply(small_tree, tmp_path):
    (small_tree / "fake" / "gan_b" / "000.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"'gan_b'.* 6 \+ 2 \+ 2 = 10 images, 9 are usable.*1 empty.*gan_b/000\.png"):
        prepare(small_tree, tmp_path / "out", PreparationParameters(size=SIDE, train=6, eval=2, test=2))
    assert not (tmp_path / "out").exists()


def test_the_dataset_may_not_lie_in_the_tree(small_tree):
    with pytest.raises(ValueError, match="lies inside the image tree"):
        prepare(small_tree, small_tree / "out", PreparationParameters(size=SIDE))


def test_a_source_may_be_a_link_and_files_may_be_linked_within_it(make_tree, tmp_path):
    root = make_tree({"real/real_a": 5, "fake/gan_a": 5})
    elsewhere = make_tree({"gan_b": 5}, name="elsewhere") / "gan_b"
    (elsewhere / "zlink.png").symlink_to("000.png")
    (root / "fake" / "gan_b").symlink_to(elsewhere)
    manifest = prepare(root, tmp_path / "out", PreparationParameters(size=SIDE))
    assert manifest.sources["gan_b"]["accepted"] == 5
    assert manifest.duplicates == [{"path": "fake/gan_b/zlink.png", "duplicate_of": "fake/gan_b/000.png"}]


def test_links_to_files_and_directories_are_followed_but_not_into_other_sources(make_tree, tmp_path):
    root = make_tree({"real/real_a": 5, "fake/gan_a": 5, "fake/gan_b": 5})
    elsewhere = make_tree({"more": 3}, name="elsewhere") / "more"
    (root / "fake" / "gan_a" / "linked").symlink_to(elsewhere)
    (root / "fake" / "gan_a" / "single.png").symlink_to(elsewhere / "000.png")
    (root / "fake" / "gan_a" / "other").symlink_to(root / "fake" / "gan_b")
    (root / "fake" / "gan_a" / "loop").symlink_to("..")
    manifest = prepare(root, tmp_path / "out", PreparationParameters(size=SIDE))
    assert manifest.sources["gan_a"]["accepted"] == 8
    assert manifest.sources["gan_b"]["accepted"] == 5
    assert {item.path: item.reason for item in manifest.rejected} == {
        "fake/gan_a/loop": "symlink",
        "fake/gan_a/other": "symlink",
    }
    totals = manifest.totals
    assert totals["found"] == totals["accepted"] + totals["rejected"] + totals["duplicates"] + totals["ignored"]


def test_a_jpeg_is_known_by_any_of_its_suffixes(make_tree, tmp_path):
    root = make_tree({"real/real_a": 5, "fake/gan_a": 5})
    for number, suffix in enumerate((".jfif", ".jpe", ".jpg_large", ".JIF")):
        (root / "fake" / "gan_a" / f"{number:03d}.png").rename(root / "fake" / "gan_a" / f"{number}{suffix}")
    manifest = prepare(root, tmp_path / "out", PreparationParameters(size=SIDE))
    assert manifest.sources["gan_a"]["accepted"] == 5
