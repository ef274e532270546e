"""Acceptance scores against other people's code, and against what they are for."""

import numpy as np
import pytest

from components.leave_one_out.scores import (
    LOGIT_PER_HEAD,
    MAHALANOBIS,
    MAHALANOBIS_PER_HEAD,
    HeadReference,
    acceptance_scores,
    fit_reference,
)
from components.metrics.acceptance import ENERGY, MAX_LOGIT
from components.models.distances import fit_gaussian, squared_mahalanobis

DRAW = np.random.default_rng(1)


def test_each_image_is_measured_from_the_source_whose_head_claims_it_in_that_heads_features():
    gaussians = [fit_gaussian(DRAW.normal(place, 1.0, (50, 4))) for place in (0.0, 5.0, -5.0)]
    references = [HeadReference(one, 3.0 + number, 2.0 * number + 1) for number, one in enumerate(gaussians)]
    logits, features = DRAW.normal(size=(30, 3)), DRAW.normal(size=(30, 3, 4))
    scores = acceptance_scores(logits, features, references)
    for image, head in enumerate(logits.argmax(axis=1)):
        distance = squared_mahalanobis(features[image, head][np.newaxis], gaussians[head])[0]
        assert scores[MAHALANOBIS][image] == pytest.approx(-distance)
        assert scores[MAHALANOBIS_PER_HEAD][image] == pytest.approx(-distance / (2 * head + 1))
        assert scores[LOGIT_PER_HEAD][image] == pytest.approx(logits[image].max() - 3 - head)


def test_a_heads_own_measure_is_the_median_of_images_that_it_was_not_trained_on():
    trained_on, held_out = DRAW.normal(size=(40, 4)), DRAW.normal(0.0, 2.0, (9, 4))
    logits = DRAW.normal(size=9)
    reference = fit_reference(trained_on, logits, held_out)
    assert reference.logit == np.sort(logits)[4]
    assert reference.distance == np.sort(squared_mahalanobis(held_out, fit_gaussian(trained_on)))[4]
    assert reference.distance > np.median(squared_mahalanobis(trained_on, reference.gaussian))


def test_a_head_that_is_sure_of_everything_is_not_preferred_in_its_own_measure():
    """One head's logits are ten times the other's; half of either's images are unknown, and lie lower."""
    draw = np.random.default_rng(2)
    known, unknown = draw.normal(5.0, 1.0, 200), draw.normal(1.0, 1.0, 200)
    logits = np.full((800, 2), -100.0)
    logits[:400, 0], logits[400:, 1] = [*known, *unknown], [*10 + known, *10 + unknown]
    references = [HeadReference(fit_gaussian(np.eye(3)), usual, 1.0) for usual in (5.0, 15.0)]
    scores = acceptance_scores(logits, np.zeros((800, 2, 3)), references)
    is_known = np.tile(np.repeat([True, False], 200), 2)
    apart = {name: (scores[name][is_known][:, None] > scores[name][~is_known][None]).mean() for name in scores}
    assert apart[LOGIT_PER_HEAD] > 0.99
    assert apart[MAX_LOGIT] < 0.8


def test_images_that_are_all_the_same_have_no_scale_and_no_distance():
    same = np.ones((5, 3))
    reference = fit_reference(same, np.zeros(5), same)
    assert (reference.logit, reference.distance) == (0.0, 1.0)


def test_an_unknown_far_from_all_sources_is_found_by_its_distance_where_logits_are_fooled():
    """A head that is as sure of something far away, on its own side of the boundary, as of its source."""
    draw = np.random.default_rng(4)
    known, unknown = draw.normal(0.0, 1.0, (200, 4)), draw.normal(9.0, 1.0, (50, 4))
    own = draw.normal(0.0, 1.0, (200, 4))
    features = np.concatenate([known, unknown])[:, np.newaxis]
    reference = fit_reference(own[:100], own[100:, 0], own[100:])
    scores = acceptance_scores(features[:, :, 0], features, [reference])  # the logit grows with the first feature
    for name in (MAHALANOBIS, MAHALANOBIS_PER_HEAD):
        assert scores[name][200:].max() < scores[name][:200].min(), name
    for name in (MAX_LOGIT, ENERGY, LOGIT_PER_HEAD):
        assert scores[name][200:].min() > np.median(scores[name][:200]), name


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (4,)])
def test_no_features_are_refused(shape):
    with pytest.raises(ValueError, match="held_out_logits: must hold at least one image"):
        fit_reference(np.ones((2, 3)), np.zeros(0), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="features: must be of shape"):
        fit_gaussian(np.zeros(shape))
