"""The acceptance threshold: a quantile of the acceptance score, over images of known generators."""

import numpy as np
import pytest
import scipy.special

from components.assembler.acceptance import called_real, fit_acceptance
from components.training.trained import SplitScores
from serving.servable.acceptance import ENERGY, HIGHEST_HEAD, MAX_LOGIT, SCORES


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
        threshold = fit_acceptance(scored, "instance", HIGHEST_HEAD, rejection).threshold
        known = of_heads.max(axis=0)[:100]  # neither real images nor those of a source without a head
        assert (known < threshold).sum() == 100 * rejection
        assert threshold == np.sort(known)[round(100 * rejection)]


def test_heads_of_other_spans_scored_other_images():
    scored = {
        "a_x": split(["a_x"] * 10, np.linspace(0.1, 1.0, 10), [f"span1/{number}" for number in range(10)]),
        "b_x": split(["b_x"] * 10, np.linspace(0.05, 0.95, 10), [f"span2/{number}" for number in range(10)]),
    }
    assert fit_acceptance(scored, "instance", HIGHEST_HEAD, 0.05).threshold == pytest.approx(0.1)


def test_sources_of_one_architecture_belong_to_its_head():
    scored = {"a": split(["a_x", "a_y"] * 5, np.linspace(0.1, 1.0, 10), [str(number) for number in range(10)])}
    assert fit_acceptance(scored, "architecture", HIGHEST_HEAD, 0.1).threshold == pytest.approx(0.2)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("count", [0, 19])
def test_too_few_images_give_no_threshold_a_reason_and_a_warning(count, score, caplog):
    scored = {"a_x": split(["a_x"] * count, np.ones(count), [str(number) for number in range(count)])}
    with caplog.at_level("WARNING"):
        chosen = fit_acceptance(scored, "instance", score, 0.05)
    assert f"holds {count} images of the heads' generators and 20 are needed" in caplog.text
    assert chosen.threshold is None
    assert chosen.note in caplog.text
    assert chosen.to_json() == {"score": score, "threshold": None, "known_rejection": 0.05, "note": chosen.note}


def test_exactly_enough_images_give_a_threshold():
    scored = {"a_x": split(["a_x"] * 20, np.linspace(0.1, 0.9, 20), [str(number) for number in range(20)])}
    assert fit_acceptance(scored, "instance", MAX_LOGIT, 0.05).threshold is not None


@pytest.mark.parametrize("score", [MAX_LOGIT, ENERGY])
def test_only_images_that_the_primary_module_calls_fake_count_and_as_many_as_allowed_fall_below(score):
    """Against a plain loop over every candidate threshold, in scipy's logits."""
    draw = np.random.default_rng(3)
    sources = np.array([*(["a_x"] * 60), *(["b_x"] * 40), *(["real_x"] * 50), *(["c_x"] * 50)])
    paths = np.array([f"{source}/{index}" for index, source in enumerate(sources)])
    of_heads = draw.uniform(0.01, 0.99, size=(2, 200)).astype(np.float32)
    of_heads[:, :30] *= 0.01  # the surest way to a low threshold: all of these the primary module calls real
    primary = SplitScores(
        np.ones(200, np.int32), np.where(np.arange(200) < 30, 0.3, 0.7).astype(np.float32), sources, paths
    )
    scored = {name: split(sources, scores, paths) for name, scores in zip(("a_x", "b_x"), of_heads, strict=True)}
    chosen = fit_acceptance(scored, "instance", score, 0.05, called_real(primary, 0.5))
    logits = scipy.special.logit(of_heads[:, 30:100].astype(np.float64))
    known = logits.max(axis=0) if score == MAX_LOGIT else scipy.special.logsumexp(logits, axis=0)
    expected = max(threshold for threshold in known if (known < threshold).mean() <= 0.05)
    assert chosen.threshold == pytest.approx(expected, rel=1e-12)
    assert (chosen.score, chosen.known_rejection, chosen.note) == (score, 0.05, "")
    assert fit_acceptance(scored, "instance", score, 0.05).threshold < chosen.threshold


def test_at_its_threshold_the_primary_module_calls_an_image_fake():
    at = np.float32(0.7)
    scores = np.array([np.nextafter(at, np.float32(0)), at], np.float32)
    primary = SplitScores(np.ones(2, np.int32), scores, np.array(["a", "a"]), np.array(["below", "at"]))
    assert called_real(primary, 0.7) == {"below"}


@pytest.mark.parametrize("score", [MAX_LOGIT, ENERGY])
def test_an_image_that_not_all_heads_scored_counts_by_those_that_did(score):
    scored = {
        "a_x": split(["a_x"] * 10, np.linspace(0.1, 0.9, 10), [f"span1/{number}" for number in range(10)]),
        "b_x": split(["b_x"] * 10, np.linspace(0.2, 0.9, 10), [f"span2/{number}" for number in range(10)]),
    }
    chosen = fit_acceptance(scored, "instance", score, 0.05)
    assert chosen.threshold == pytest.approx(scipy.special.logit(np.linspace(0.1, 0.9, 10)[1]), rel=1e-6)
