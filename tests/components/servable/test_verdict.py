import itertools

import numpy as np
import pytest
import tensorflow as tf

from components.servable.verdict import verdicts
from serving import contract
from serving.servable.acceptance import Acceptance

NAMES = ("progan_a", "stylegan_b", "sngan_c")
DETECTION, CLAIMS = 0.7, (0.6, 0.1, 0.9)  # none of them is exact in float32


def rule(fake: float, sources: tuple[float, ...]) -> str:
    """The documented rules, in plain Python; probabilities and thresholds meet as float32, as in a served graph."""
    claiming = [
        (np.float32(probability), name)
        for probability, threshold, name in zip(sources, CLAIMS, NAMES, strict=True)
        if np.float32(probability) >= np.float32(threshold)
    ]
    if np.float32(fake) < np.float32(DETECTION):
        return "contradiction" if claiming else "real"
    if not claiming:
        return "unknown_generator"
    strongest = max(probability for probability, _ in claiming)
    return next(name for probability, name in claiming if probability == strongest)  # of equals, the first


def around(threshold: float) -> tuple[float, ...]:
    """Nothing, the neighbours of the threshold among float32 numbers, the threshold itself, certainty."""
    exact = np.float32(threshold)
    return (0.0, float(np.nextafter(exact, np.float32(0))), threshold, float(np.nextafter(exact, np.float32(1))), 1.0)


@pytest.fixture(scope="module")
def cases():
    return list(itertools.product(around(DETECTION), *map(around, CLAIMS)))  # 625 rows


@pytest.fixture(scope="module", params=["eager", "graph"])
def decide(request):
    return verdicts if request.param == "eager" else tf.function(verdicts)


def test_every_combination_follows_the_documented_rules(cases, decide):
    table = np.array(cases, np.float32)
    decided = decide(tf.constant(table[:, 0]), tf.constant(table[:, 1:]), DETECTION, CLAIMS, NAMES)
    expected = [rule(fake, tuple(sources)) for fake, *sources in cases]
    every = {*NAMES, *contract.RESERVED_VERDICTS} - {contract.VERDICT_UNCERTAIN}
    assert every == set(expected)  # the table holds every verdict that there is without a band
    assert [verdict.decode() for verdict in decided.numpy()] == expected


@pytest.mark.parametrize(
    ("fake", "sources", "verdict"),
    [
        (0.1, (0.0, 0.0, 0.0), "real"),
        (0.9, (0.0, 0.0, 0.0), "unknown_generator"),
        (0.9, (0.8, 0.0, 0.0), "progan_a"),
        (0.9, (0.8, 0.85, 0.0), "stylegan_b"),  # two claims: the stronger one
        (0.9, (0.8, 0.05, 0.89), "progan_a"),  # the strongest head does not reach its own threshold
        (0.1, (0.0, 0.2, 0.0), "contradiction"),
        (0.9, (0.8, 0.8, 0.0), "progan_a"),  # equal claims: the first head
        (0.7, (0.0, 0.0, 0.0), "unknown_generator"),  # at the threshold is fake
        (0.9, (0.0, 0.0, 0.9), "sngan_c"),  # at the threshold is a claim
    ],
)
def test_one_case_in_plain_words(fake, sources, verdict):
    assert verdicts(tf.constant([fake]), tf.constant([sources]), DETECTION, CLAIMS, NAMES).numpy() == [verdict.encode()]


def test_without_heads_an_image_is_real_or_of_an_unknown_generator(decide):
    decided = decide(tf.constant([0.1, 0.7, 0.9]), tf.zeros((3, 0)), DETECTION, (), ())
    assert decided.numpy().tolist() == [b"real", b"unknown_generator", b"unknown_generator"]


BAND = (0.3, 0.8)  # neither is exact in float32


def test_in_the_band_the_verdict_is_uncertain_whatever_heads_say_and_elsewhere_as_without_it(decide):
    fakes = (*around(BAND[0]), 0.5, *around(DETECTION), *around(BAND[1]))
    cases = [(fake, *sources) for fake in fakes for sources in itertools.product((0.0, 0.5, 1.0), repeat=3)]
    table = np.array(cases, np.float32)
    decided = decide(tf.constant(table[:, 0]), tf.constant(table[:, 1:]), DETECTION, CLAIMS, NAMES, BAND)
    lowest, highest = map(np.float32, BAND)
    expected = [
        "uncertain" if lowest <= np.float32(fake) <= highest else rule(fake, tuple(sources)) for fake, *sources in cases
    ]
    assert {"uncertain", "real", "contradiction", "unknown_generator", *NAMES} == set(expected)
    assert [verdict.decode() for verdict in decided.numpy()] == expected


def test_without_heads_the_band_holds_too(decide):
    decided = decide(tf.constant([0.1, 0.3, 0.5, 0.8, 0.9]), tf.zeros((5, 0)), DETECTION, (), (), BAND)
    assert decided.numpy().tolist() == [b"real", *[b"uncertain"] * 3, b"unknown_generator"]


def test_a_band_up_to_the_ends_leaves_nothing_decided(decide):
    decided = decide(tf.constant([0.0, 1.0]), tf.ones((2, 3)), DETECTION, CLAIMS, NAMES, (0.0, 1.0))
    assert decided.numpy().tolist() == [b"uncertain", b"uncertain"]


def test_a_threshold_of_zero_claims_everything():
    assert verdicts(tf.constant([0.9]), tf.zeros((1, 1)), DETECTION, (0.0,), ("a",)).numpy() == [b"a"]


def test_an_empty_batch_has_no_verdict():
    assert verdicts(tf.zeros((0,)), tf.zeros((0, 3)), DETECTION, CLAIMS, NAMES).shape == (0,)


def test_names_and_thresholds_of_different_number_are_refused():
    with pytest.raises(ValueError, match="3 source names but 2 thresholds"):
        verdicts(tf.zeros((1,)), tf.zeros((1, 3)), DETECTION, CLAIMS[:2], NAMES)


def test_a_head_claims_no_image_that_is_too_far_from_its_source():
    fake = tf.constant([0.9, 0.9, 0.9, 0.2], tf.float32)
    probabilities = tf.constant([[0.95, 0.5, 0.0]] * 4, tf.float32)
    within = tf.constant([[True, True, True], [False, True, True], [False, False, True], [False, False, True]])
    decided = verdicts(fake, probabilities, DETECTION, CLAIMS, NAMES, within_distance=within)
    # The strongest near enough; the next one; none of a fake; none of a real one.
    assert [one.decode() for one in decided.numpy()] == [NAMES[0], NAMES[1], "unknown_generator", "real"]


@pytest.mark.parametrize(
    ("fake", "sources", "verdict"),
    [
        (0.9, (0.8, 0.0, 0.0), "unknown_generator"),  # claimed, but below the acceptance threshold
        (0.9, (0.8, 0.0, 0.95), "sngan_c"),
        (0.9, (0.85, 0.9, 0.0), "stylegan_b"),  # at the threshold is accepted
        (0.9, (0.8, 0.05, 0.9), "sngan_c"),
        (0.1, (0.8, 0.0, 0.0), "contradiction"),  # a real image stays what it is
        (0.1, (0.0, 0.0, 0.0), "real"),
        (0.9, (0.0, 0.0, 0.0), "unknown_generator"),
    ],
)
def test_below_the_acceptance_threshold_the_generator_is_unknown(fake, sources, verdict, decide):
    decided = decide(
        tf.constant([fake]),
        tf.constant([sources]),
        DETECTION,
        CLAIMS,
        NAMES,
        acceptance=Acceptance("highest_head", 0.9),
    )
    assert decided.numpy() == [verdict.encode()]


def test_an_acceptance_threshold_without_heads_changes_nothing():
    decided = verdicts(
        tf.constant([0.1, 0.9]), tf.zeros((2, 0)), 0.5, [], [], acceptance=Acceptance("highest_head", 0.9)
    )
    assert decided.numpy().tolist() == [b"real", b"unknown_generator"]


@pytest.mark.parametrize(
    ("score", "threshold"),
    [("max_logit", 2.0), ("energy", 2.3)],  # the logit of 0.88; of two heads at 0.84, the energy is 2.35
)
@pytest.mark.parametrize(
    ("fake", "sources", "verdict"),
    [
        (0.9, (0.86, 0.0, 0.0), {"max_logit": "unknown_generator", "energy": "unknown_generator"}),
        (0.9, (0.92, 0.0, 0.0), {"max_logit": "progan_a", "energy": "progan_a"}),
        (0.9, (0.84, 0.84, 0.0), {"max_logit": "unknown_generator", "energy": "progan_a"}),
        (0.1, (0.86, 0.0, 0.0), {"max_logit": "contradiction", "energy": "contradiction"}),
        (0.1, (0.0, 0.0, 0.0), {"max_logit": "real", "energy": "real"}),
        (0.9, (0.0, 0.0, 0.89), {"max_logit": "unknown_generator", "energy": "unknown_generator"}),  # nobody claims
    ],
)
def test_scores_of_logits_decide_on_fakes_alone(score, threshold, fake, sources, verdict, decide):
    acceptance = Acceptance(score, threshold, 0.05)
    decided = decide(tf.constant([fake]), tf.constant([sources]), DETECTION, CLAIMS, NAMES, acceptance=acceptance)
    assert decided.numpy() == [verdict[score].encode()]


@pytest.mark.parametrize("score", ["highest_head", "max_logit", "energy"])
def test_without_a_threshold_each_heads_own_decides(score, cases):
    fake, *sources = np.array(cases, np.float32).T
    given = tf.constant(fake), tf.constant(np.stack(sources, axis=1)), DETECTION, CLAIMS, NAMES
    absent = Acceptance(score, None, 0.05, "too few images")
    np.testing.assert_array_equal(verdicts(*given, acceptance=absent), verdicts(*given))
