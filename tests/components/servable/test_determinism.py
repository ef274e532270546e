"""The same bytes get the same scores, in whatever company and at whatever place of a batch."""

import json

import numpy as np
import pytest
import tensorflow as tf

from components.servable.published import import_published
from tests.support.servables import HEADS

BATCH_SIZES = (1, 2, 7, 8, 32, 33, 64)
TOLERANCE = 1e-6


def scores(signatures, images) -> np.ndarray:
    """float32 (batch, 1 + heads)."""
    answers = signatures["serving_default"](image_bytes=tf.constant(images))
    return np.column_stack([answers["fake_probability"].numpy(), answers["source_probabilities"].numpy()])


def greatest_differences(signatures, images, seed=0) -> tuple[float, float]:
    """Compares scores in batches of all sizes, at places drawn by chance, with those of two rows at a time.

    Returns:
        The greatest difference in batches of two rows and more, and that of rows alone.
    """
    rng = np.random.default_rng(seed)
    count = len(images)
    expected = np.concatenate([scores(signatures, [image, image])[:1] for image in images])
    differences = {}
    for size in BATCH_SIZES:
        found = []
        for start in range(0, count, size):  # every image is asked at every size
            order = (start + rng.permutation(size)) % count
            found.append(np.abs(scores(signatures, [images[row] for row in order]) - expected[order]).max())
        row = int(rng.integers(count))
        found.append(np.abs(scores(signatures, [images[row]] * size) - expected[row]).max())
        differences[size] = float(max(found))
    return max(difference for size, difference in differences.items() if size > 1), differences[1]


def test_scores_do_not_depend_on_the_batch(random_signatures, many_images):
    together = scores(random_signatures, many_images)
    assert together.shape == (64, 1 + len(HEADS))
    # They spread, so that equality says something: about 0.5 everywhere, anything would be equal.
    assert (np.quantile(together, 0.9, axis=0) - np.quantile(together, 0.1, axis=0) > 0.4).all()
    in_company, alone = greatest_differences(random_signatures, many_images)
    assert in_company <= TOLERANCE
    assert alone <= TOLERANCE


def test_the_same_batch_gets_the_same_bits_again(random_signatures, many_images):
    first = scores(random_signatures, many_images)
    for _ in range(5):
        np.testing.assert_array_equal(scores(random_signatures, many_images), first)


@pytest.mark.parametrize("name", ["attribution_ganfp_progan", "attribution_ganfp_progan_dct"])
def test_published_scores_do_not_depend_on_the_batch(shared_folder, tmp_path, name):
    reference = shared_folder / "reference"
    weights = reference / "weights" / f"{name}.h5"
    if not weights.is_file():
        pytest.skip(f"no {weights.name} among the golden data")
    statistics = reference / "statistics" / "ganfp" / "dctnorm" if name.endswith("_dct") else None
    import_published([weights], tmp_path / "1", statistics)
    entries = json.loads((reference / "golden/outputs/index.json").read_text())
    (entry,) = (entry for entry in entries if entry["name"] == name)
    files = entry["images"][str(entry["native_size"])]
    images = [(reference / "golden/images" / file).read_bytes() for file in files]
    assert len(images) > 1
    signatures = tf.saved_model.load(str(tmp_path / "1")).signatures
    assert np.ptp(scores(signatures, images), axis=0).min() > 0.1
    in_company, alone = greatest_differences(signatures, images)
    assert in_company <= TOLERANCE
    assert alone <= TOLERANCE
