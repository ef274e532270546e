"""The statistic against its definition and a brute-force leave-one-out; and what is said about it."""

from collections import Counter

import numpy as np
import pytest

from components.dataset.compression import NOT_JPEG
from components.dataset.confounds import (
    Confound,
    GivenFile,
    judge_confounds,
    left_out_accuracy,
    measure_confounds,
    resolutions,
)
from components.dataset.parameters import ConfoundParameters


def files(label, count, file_format="PNG", compression=NOT_JPEG, size=(128, 128), colour_mode="RGB"):
    return [GivenFile(label, file_format, compression, size, colour_mode)] * count


def figure(given, name) -> Confound:
    return next(confound for confound in measure_confounds(given) if confound.property == name)


def formats(real, fake) -> Confound:
    return figure(
        [GivenFile(0, value, NOT_JPEG, None, None) for value in real]
        + [GivenFile(1, value, NOT_JPEG, None, None) for value in fake],
        "format",
    )


def by_leaving_one_out(real, fake):
    """The definition, image by image: the rule is made of the others, and judges this one."""

    def recall(own, other):
        hits = 0.0
        for value in own:
            share = (own.count(value) - 1) / (len(own) - 1)
            against = other.count(value) / len(other)
            hits += 1.0 if share > against else 0.5 if share == against else 0.0
        return hits / len(own)

    return max(0.5, (recall(real, fake) + recall(fake, real)) / 2)


@pytest.mark.parametrize("seed", range(20))
def test_the_figure_is_the_leave_one_out_estimate(seed):
    random = np.random.default_rng(seed)
    # 2 ** n + 1 images: shares of the others are binary fractions, so that ties are ties in floating point too.
    real, fake = random.integers(0, 4, 17).tolist(), random.integers(1, 6, 33).tolist()
    values = sorted({*real, *fake})
    counts = np.array([Counter(real + fake)[value] for value in values])
    of_real = np.array([Counter(real)[value] for value in values])
    assert left_out_accuracy(counts, of_real) == pytest.approx(by_leaving_one_out(real, fake))


def test_for_many_images_the_figure_is_the_bayes_rule_of_the_shares():
    found = formats(["JPEG"] * 900 + ["PNG"] * 100, ["JPEG"] * 60 + ["PNG"] * 1940)
    assert found.balanced_accuracy == pytest.approx((0.9 + 0.97) / 2)
    assert found.real == {"JPEG": 0.9, "PNG": 0.1}
    assert found.fake == {"PNG": 0.97, "JPEG": 0.03}
    assert found.chance < 0.55


def test_four_times_as_many_fakes_do_not_make_a_confound():
    assert formats(["PNG"] * 10, ["PNG"] * 40).balanced_accuracy == 0.5


def test_sizes_that_are_all_different_are_no_separation():
    """The plain rule on counts would say 1.00: every size was seen in one class alone."""
    random = np.random.default_rng(1)
    sizes = [(int(width), int(width) + 1 + number) for number, width in enumerate(random.integers(400, 700, 200))]
    given = [GivenFile(number % 2, "PNG", NOT_JPEG, size, "RGB") for number, size in enumerate(sizes)]
    found = figure(given, "resolution")
    assert len(set(sizes)) == 200
    assert not found.exceeds(0.6)


def test_one_size_for_all_fakes_and_photographs_of_all_sizes_is_a_perfect_separation():
    given = files(1, 50, size=(256, 256)) + [
        GivenFile(0, "PNG", NOT_JPEG, (300 + n, 250 + n), "RGB") for n in range(50)
    ]
    assert figure(given, "resolution").balanced_accuracy == 1.0


def test_small_fakes_and_large_photographs_separate_though_no_size_occurs_twice():
    given = [GivenFile(1, "PNG", NOT_JPEG, (180 + n, 190), "RGB") for n in range(40)]
    given += [GivenFile(0, "PNG", NOT_JPEG, (3000 + n, 2000), "RGB") for n in range(40)]
    assert figure(given, "resolution").balanced_accuracy > 0.95


def test_a_size_of_five_images_stands_for_itself_and_rarer_ones_for_their_area():
    named = resolutions([(128, 128)] * 5 + [(4000, 3000)] * 4)
    assert named == ["128x128"] * 5 + ["about 16 megapixels"] * 4


def test_chance_is_high_for_few_images_and_low_for_many():
    few, many = formats(["JPEG"] * 3, ["PNG"] * 3), formats(["JPEG"] * 300, ["PNG"] * 300)
    assert few.balanced_accuracy == many.balanced_accuracy == 1.0
    assert not few.exceeds(0.75)  # 1 in 10 shuffles of six labels separates them as well
    assert many.exceeds(0.75)
    assert many.chance < 0.6


def test_labels_drawn_at_random_exceed_chance_about_once_in_a_hundred():
    random, exceeding = np.random.default_rng(3), 0
    for _ in range(200):
        values = random.integers(0, 8, (2, 30)).astype(str).tolist()
        exceeding += formats(*values).exceeds(0.5)
    assert exceeding <= 8  # 2 expected; more than 8 with a probability below 0.001


def test_the_limit_is_reached_by_a_figure_that_equals_it():
    found = formats(["JPEG"] * 500 + ["PNG"] * 500, ["PNG"] * 1000)
    assert found.balanced_accuracy == pytest.approx(0.75)
    assert found.exceeds(found.balanced_accuracy)
    assert not found.exceeds(0.76)


def test_a_missing_record_drops_the_property_and_a_missing_class_all():
    given = files(0, 9, compression=None) + files(1, 9, size=None)
    assert [confound.property for confound in measure_confounds(given)] == ["format", "colour_mode"]
    assert measure_confounds(files(1, 9)) == []


def test_a_figure_survives_json():
    found = formats(["JPEG"] * 3 + ["PNG"] * 97, ["PNG"] * 100)
    assert Confound.from_dict(found.to_dict()).to_dict() == found.to_dict()


def test_the_sentence_says_what_separates_how_well_and_which_values_the_classes_have():
    given = files(0, 100, "JPEG", "quality 90, 4:2:0") + files(1, 97) + files(1, 3, "JPEG", "quality 90, 4:2:0")
    (sentence,) = judge_confounds(measure_confounds(given), ConfoundParameters(), recompressed=False).warnings
    assert sentence.startswith("file format alone tells real from fake for 98 % of the images (balanced accuracy 0.98 ")
    assert "real: 100 % JPEG; fake: 97 % PNG, 3 % JPEG." in sentence
    assert "recompress=90" in sentence


def test_a_compression_that_tells_more_than_the_format_is_said_too():
    given = files(0, 100, "JPEG", "quality 90, 4:2:0") + files(1, 80) + files(1, 20, "JPEG", "quality 75, 4:2:0")
    warnings = judge_confounds(measure_confounds(given), ConfoundParameters(), recompressed=False).warnings
    assert [warning.split(" alone")[0] for warning in warnings] == ["file format", "JPEG compression"]


@pytest.mark.parametrize(
    ("given", "title"),
    [
        (files(0, 30, "JPEG", "quality 90, 4:2:0") + files(1, 30, "JPEG", "quality 90, 4:4:4"), "JPEG compression"),
        (files(0, 30, size=(178, 218)) + files(1, 30), "resolution"),
        (files(0, 30, colour_mode="L") + files(1, 30), "colour mode"),
    ],
)
def test_each_property_is_found_alone(given, title):
    (warning,) = judge_confounds(measure_confounds(given), ConfoundParameters(), recompressed=False).warnings
    assert warning.startswith(f"{title} alone tells real from fake for 100 % of the images")


def test_recompression_makes_notes_of_format_and_compression_but_not_of_what_it_leaves():
    given = files(0, 30, "JPEG", "quality 75, 4:2:0", (300, 300)) + files(1, 30, size=(256, 256))
    findings = judge_confounds(measure_confounds(given), ConfoundParameters(), recompressed=True)
    assert [warning.split(" alone")[0] for warning in findings.warnings] == ["resolution"]
    assert [note.split(" alone")[0] for note in findings.notes] == ["as given, file format"]


def test_many_values_are_cut_short_in_words():
    sentence = formats([str(number % 10) for number in range(100)], ["x"] * 100).sentence()
    assert "real: 10 % 0, 10 % 1, 10 % 2, 70 % others; fake: 100 % x." in sentence


def test_a_share_just_below_one_is_not_called_all():
    assert "over 99 % PNG" in formats(["PNG"] * 999 + ["JPEG"], ["JPEG"] * 9).sentence()


def test_a_check_that_is_off_keeps_the_figures_and_says_nothing():
    figures = measure_confounds(files(0, 30, "JPEG", "quality 75, 4:2:0") + files(1, 30))
    report = judge_confounds(figures, ConfoundParameters(action="off"), recompressed=False)
    assert (report.figures, report.warnings, report.notes) == (figures, [], [])
    assert judge_confounds(figures, ConfoundParameters(action="warn"), recompressed=False).warnings
