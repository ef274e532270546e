"""The acceptance threshold: a quantile of the highest probability of all heads, over images of known generators."""

import numpy as np
import pytest

from components.assembler.acceptance import acceptance_threshold
from components.training.trained import SplitScores


def split(sources, scores, paths):
    sources = np.array(sources)
    return SplitScores(np.ones(len(sources), np.int32), np.array(scores, np.float32), sources, np.array(paths))


def test_at_most_the_share_of_known_images_falls_below():
    draw = np.random.default_rng(0)
    sources = np.array([*(["a_x"] * 60), *(["b_x"] * 40), *(["real_x"] * 50), *(["c_x"] * 50)])
    paths = [f"{source}/{index}" for index, source in enumerate(sources)]
    of_heads = draw.uniform(size=(2, 200)).astype(np.float32)
    scored = {name: split(sources, scores, paths) for name, scores in zip(("a_x", "b_x"), of_heads, strict=True)}
    for rejection in (0.05, 0.2):
        threshold = acceptance_threshold(scored, "instance", rejection)
        known = of_heads.max(axis=0)[:100]  # neither real images nor those of a source without a head
        assert (known < threshold).sum() == 100 * rejection
        assert threshold == np.sort(known)[round(100 * rejection)]


def test_heads_of_other_spans_scored_other_images():
    scored = {
        "a_x": split(["a_x"] * 10, np.linspace(0.1, 1.0, 10), [f"span1/{number}" for number in range(10)]),
        "b_x": split(["b_x"] * 10, np.linspace(0.05, 0.95, 10), [f"span2/{number}" for number in range(10)]),
    }
    assert acceptance_threshold(scored, "instance", 0.05) == pytest.approx(0.1)


def test_sources_of_one_architecture_belong_to_its_head():
    scored = {"a": split(["a_x", "a_y"] * 5, np.linspace(0.1, 1.0, 10), [str(number) for number in range(10)])}
    assert acceptance_threshold(scored, "architecture", 0.1) == pytest.approx(0.2)


@pytest.mark.parametrize("count", [0, 19])
def test_too_few_images_give_no_threshold_and_a_warning(count, caplog):
    scored = {"a_x": split(["a_x"] * count, np.ones(count), [str(number) for number in range(count)])}
    with caplog.at_level("WARNING"):
        assert acceptance_threshold(scored, "instance", 0.05) is None
    assert f"holds {count} images of the heads' generators and 20 are needed" in caplog.text
