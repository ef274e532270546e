import io

import numpy as np
import pytest
from PIL import Image

from components.dataset.perturbations import (
    ORDER,
    Perturbation,
    add_noise,
    apply_perturbations,
    blur,
    compress,
    crop_and_resize,
    draw_perturbations,
    draw_strength,
    perturb,
)
from components.dataset.seeds import stream
from tests.support.images import noise

DRAWS = 2000


def drawn(mode: str) -> list[tuple[Perturbation, ...]]:
    return [draw_perturbations(mode, stream("test", mode, number)) for number in range(DRAWS)]


@pytest.mark.parametrize("mode", ORDER)
def test_a_single_perturbation_comes_with_probability_one_half(mode):
    draws = drawn(mode)
    assert {item.name for draw in draws for item in draw} == {mode}
    assert abs(sum(map(len, draws)) / DRAWS - 0.5) < 0.04  # 3.6 standard deviations


def test_multi_draws_each_of_the_four_independently_and_in_order():
    draws = [tuple(item.name for item in draw) for draw in drawn("multi")]
    assert all(list(draw) == [name for name in ORDER if name in draw] for draw in draws)
    for name in ORDER:
        assert abs(sum(name in draw for draw in draws) / DRAWS - 0.5) < 0.04
    assert abs(sum(draw == () for draw in draws) / DRAWS - 1 / 16) < 0.02
    assert len(set(draws)) == 16


def test_none_draws_nothing():
    assert draw_perturbations("none", stream("x")) == ()


def test_strengths_stay_in_and_fill_the_stated_ranges():
    values = {mode: np.array([item.value for draw in drawn(mode) for item in draw]) for mode in ORDER}
    assert set(values["blur"]) == {3, 5, 7, 9}
    assert set(values["jpeg"]) == set(range(10, 75))
    assert 0.05 <= values["crop"].min() < 0.052 < 0.198 < values["crop"].max() <= 0.2
    assert 5 <= values["noise"].min() < 5.2 < 19.8 < values["noise"].max() <= 20


@pytest.mark.parametrize("kernel", [3, 5, 7, 9])
def test_blur_of_a_point_is_the_gaussian_kernel_of_opencv(kernel):
    point = np.zeros((21, 21, 3), np.uint8)
    point[10, 10] = 255
    offset = np.arange(kernel) - (kernel - 1) / 2
    weights = np.exp(-(offset**2) / (2 * (0.3 * ((kernel - 1) * 0.5 - 1) + 0.8) ** 2))
    weights /= weights.sum()
    expected = np.zeros((21, 21))
    reach = kernel // 2
    expected[10 - reach : 11 + reach, 10 - reach : 11 + reach] = 255 * np.outer(weights, weights)
    for channel in range(3):
        np.testing.assert_allclose(blur(point, kernel)[..., channel], expected, atol=0.51)  # rounded to whole levels


def test_noise_has_the_stated_variance():
    grey = np.full((200, 200, 3), 128, np.uint8)
    for variance in (5, 20):
        noisy = add_noise(grey, variance, stream("noise")).astype(float)
        assert abs(noisy.mean() - 128) < 0.05
        assert abs(noisy.var() - (variance + 1 / 12)) < 0.03 * variance  # rounding adds 1/12


@pytest.mark.parametrize("quality", [10, 40, 74])
def test_jpeg_really_uses_its_quality(quality):
    pixels = noise(1, 64, 64)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    np.testing.assert_array_equal(compress(pixels, quality), np.asarray(Image.open(buffer)))


def test_crop_keeps_the_size_and_enlarges_what_is_left():
    rows = np.repeat(np.arange(100, dtype=np.uint8)[:, None, None] * 2, 100, axis=1).repeat(3, axis=2)
    for number in range(20):
        cropped = crop_and_resize(rows, 0.2, stream("crop", number))
        assert cropped.shape == rows.shape
        height = (int(cropped[-1, 0, 0]) - int(cropped[0, 0, 0])) / 2 + 1
        assert abs(height - 80) <= 1


def test_what_is_applied_depends_on_the_stream_only():
    pixels = noise(2, 48, 48)
    steps = (Perturbation("crop", 0.1), Perturbation("noise", 10.0))
    first = apply_perturbations(pixels, steps, stream("image", 1))
    np.testing.assert_array_equal(apply_perturbations(pixels, steps, stream("image", 1)), first)
    assert (apply_perturbations(pixels, steps, stream("image", 2)) != first).any()


@pytest.mark.parametrize("name", ORDER)
def test_an_operation_by_name_draws_its_strength_as_preparation_does(name):
    pixels = noise(3, 48, 48)
    random = stream("one", name)
    expected = apply_perturbations(pixels, (Perturbation(name, draw_strength(name, random)),), random)
    np.testing.assert_array_equal(perturb(pixels, name, stream("one", name)), expected)
    assert (expected != pixels).any()


@pytest.mark.parametrize("name", ["resize", "sharpen", "multi"])
def test_a_strength_is_drawn_of_the_four_alone(name):
    with pytest.raises(ValueError, match=f"must be one of blur, crop, jpeg, noise, got '{name}'"):
        perturb(noise(4, 16, 16), name, stream("x"))


def test_a_perturbation_that_there_is_not_is_refused_by_name():
    with pytest.raises(ValueError, match="must be one of blur, crop, jpeg, noise, resize, got 'sharpen'"):
        apply_perturbations(noise(4, 16, 16), (Perturbation("sharpen", 1.0),), stream("x"))
