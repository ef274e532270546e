"""Preparation against the served graph, on thousands of odd and damaged files: what is stored, the graph decodes.

`make test-long` runs it with 20,000 files of each format; by default there are some hundreds.
"""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from components.dataset.manifest import Manifest
from components.dataset.parameters import PreparationParameters
from components.dataset.prepare import prepare
from components.examples import names
from tests.support.images import encode, noise
from tests.support.mutated import FORMATS, SIDE, mutated_file

BATCH = 64
SHOWN_FROM = 1000  # files: what became of them is printed


def write_tree(root: Path, image_format: str, count: int) -> dict[str, str]:
    """Writes mutated files as a source, and returns the kind of each by its path."""
    draw = random.Random(f"20,000 {image_format}")
    (root / "real" / "real_a").mkdir(parents=True)
    (root / "real" / "real_a" / "0.png").write_bytes(encode(noise(0, SIDE, SIDE)))
    source = root / "fake" / "gan_a"
    source.mkdir(parents=True)
    (source / "0.png").write_bytes(encode(noise(1, SIDE, SIDE)))
    kinds = {}
    for number in range(count):
        kind, data = mutated_file(draw, image_format)
        path = source / f"{number:06d}.{image_format}"
        path.write_bytes(data)
        kinds[path.relative_to(root).as_posix()] = kind
    return kinds


def refused_by_the_graph(span: Path) -> dict[str, str]:
    """Decodes every stored image with the graph's own function, and returns the reason of each that it refuses."""
    import tensorflow as tf

    from components.features.image import decode_windows

    decode = tf.function(decode_windows).get_concrete_function(tf.TensorSpec([None], tf.string), SIDE)
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in (names.PATH, names.IMAGE_BYTES)}
    records = tf.data.TFRecordDataset([str(file) for file in span.rglob("*.gz")], compression_type="GZIP")
    refused = {}
    for batch in records.batch(BATCH):
        rows = tf.io.parse_example(batch, spec)
        try:
            decode(rows[names.IMAGE_BYTES])
        except tf.errors.InvalidArgumentError:
            for path, image in zip(rows[names.PATH].numpy(), rows[names.IMAGE_BYTES].numpy(), strict=True):
                try:
                    decode(tf.constant([image]))
                except tf.errors.InvalidArgumentError as error:
                    refused[path.decode()] = error.message
    return refused


def report(image_format: str, manifest: Manifest, kinds: dict[str, str]) -> None:
    """Prints what became of the files."""
    totals = {name: count for name, count in manifest.totals.items() if count}
    again = Counter(
        kinds.get(image["path"]) for images in manifest.images.values() for image in images if "stored_again" in image
    )
    print(f"\n{image_format}: {totals}\n  rejected: {manifest.rejected_by_reason}\n  stored again: {dict(again)}")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("image_format", FORMATS)
def test_what_is_stored_decodes_in_the_graph_and_every_file_is_accounted_for(
    image_format, tmp_path, pytestconfig, capfd
):
    count = pytestconfig.getoption("mutations")
    kinds = write_tree(tmp_path / "images", image_format, count)
    parameters = PreparationParameters(size=SIDE, train=1.0, eval=0.0, test=0.0, confound="off")

    manifest = prepare(tmp_path / "images", tmp_path / "out", parameters)
    if count > SHOWN_FROM:
        with capfd.disabled():
            report(image_format, manifest, kinds)

    refused = refused_by_the_graph(tmp_path / "out" / "span-1")
    assert {kinds[path]: reason for path, reason in refused.items()} == {}
    totals = manifest.totals
    assert totals["found"] == count + 2
    assert totals["found"] == sum(totals[name] for name in ("accepted", "rejected", "duplicates", "ignored"))
    stored = [image["path"] for images in manifest.images.values() for image in images]
    accounted = [*stored, *(file.path for file in manifest.rejected), *(pair["path"] for pair in manifest.duplicates)]
    assert sorted(accounted) == sorted([*kinds, "fake/gan_a/0.png", "real/real_a/0.png"])
    # The corpus reaches both sides of the check.
    assert totals["rejected"] > count / 10
    assert totals["accepted"] > count / 10
    assert (totals["stored_again"] > count / 100) == (image_format != "webp")


def test_the_same_seed_makes_the_same_files():
    for image_format in FORMATS:
        one, two = (
            [mutated_file(draw, image_format) for _ in range(20)] for draw in (random.Random(7), random.Random(7))
        )
        assert one == two
        assert len({data for _, data in one}) == 20


def test_without_the_check_the_corpus_finds_files_that_only_pillow_reads(tmp_path, monkeypatch):
    monkeypatch.setattr("components.dataset.images._graph_refusal", lambda *_: "")
    monkeypatch.setattr("components.dataset.images._decode_bare_png", lambda *_: None)
    for image_format in ("png", "jpg"):
        root = tmp_path / image_format
        kinds = write_tree(root / "images", image_format, 200)
        parameters = PreparationParameters(size=SIDE, train=1.0, eval=0.0, test=0.0, confound="off")
        prepare(root / "images", root / "out", parameters)
        refused = refused_by_the_graph(root / "out" / "span-1")
        assert len(refused) >= 3
        assert len({kinds[path] for path in refused}) >= 2
        assert np.all([path.startswith("fake/gan_a/") for path in refused])
