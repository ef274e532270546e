import io
import json

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from scipy import ndimage

from components.dataset import pool
from components.dataset.parameters import PreparationParameters
from components.dataset.perturbations import ORDER
from components.dataset.prepare import prepare
from components.dataset.reference_perturbations import (
    ReferencePerturbation,
    add_noise,
    apply_reference,
    blur,
    compress,
    crop_and_resize,
    draw_reference,
    draw_reference_perturbation,
    reference_stream,
)
from components.examples import names
from pipeline.cli.main import build_parser
from tests.support.images import noise

SIDE = 32
DRAWS = 2000


def drawn(mode: str) -> list[tuple[ReferencePerturbation, ...]]:
    return [draw_reference(mode, reference_stream("test", mode, number)) for number in range(DRAWS)]


def read_pixels(path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def shard_bytes(out) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.gz")}


def test_no_golden_picture_is_left_out(shared_folder):
    golden = shared_folder / "reference" / "golden" / "augment"
    cases = json.loads((golden / "index.json").read_text())
    perturbed = {f"{case['image'].removesuffix('.png')}__{case['fn']}.png" for case in cases if case["fn"] in ORDER}
    resized = {f"256_08_photo2__dataCropResize{size}.png" for size in (100, 128)}  # see test_crop.py
    assert {path.name for path in golden.glob("*.png")} == perturbed | resized


@pytest.mark.parametrize("name", ORDER)
def test_every_golden_picture_is_reproduced_bit_for_bit(shared_folder, name):
    golden = shared_folder / "reference" / "golden"
    cases = [case for case in json.loads((golden / "augment" / "index.json").read_text()) if case["fn"] == name]
    assert len(cases) == 3
    for case in cases:
        random = np.random.RandomState(case["seed"])
        perturbation = draw_reference_perturbation(name, random)
        pixels = apply_reference(read_pixels(golden / "images" / case["image"]), (perturbation,), random)
        expected = read_pixels(golden / "augment" / f"{case['image'].removesuffix('.png')}__{name}.png")
        # The published parameter of crop is in percent.
        assert perturbation.value * (100 if name == "crop" else 1) == pytest.approx(case["param"], rel=1e-12)
        np.testing.assert_array_equal(pixels, expected, err_msg=f"{case['image']} {name}")


def test_draws_follow_the_published_order_on_one_stream():
    for seed in range(50):
        random = np.random.RandomState(seed)
        expected = []
        if random.random_sample() >= 0.5:
            expected.append(("blur", float([3, 5, 7, 9][random.randint(0, 4)]), (0.0, 0.0)))
        if random.random_sample() >= 0.5:
            fraction = 0.05 + (0.2 - 0.05) * random.random_sample()
            expected.append(("crop", fraction, (random.random_sample(), random.random_sample())))
        if random.random_sample() >= 0.5:
            expected.append(("jpeg", float(random.randint(10, 75)), (0.0, 0.0)))
        if random.random_sample() >= 0.5:
            expected.append(("noise", 5 + (20 - 5) * random.random_sample(), (0.0, 0.0)))
        ours = np.random.RandomState(seed)
        steps = draw_reference("multi", ours)
        assert [(step.name, step.value, step.position) for step in steps] == expected
        np.testing.assert_array_equal(ours.randn(3), random.randn(3))  # the noise itself comes next


@pytest.mark.parametrize("mode", ORDER)
def test_a_single_perturbation_comes_with_probability_one_half(mode):
    draws = drawn(mode)
    assert {item.name for draw in draws for item in draw} == {mode}
    assert abs(sum(map(len, draws)) / DRAWS - 0.5) < 0.04  # 3.6 standard deviations


def test_multi_draws_each_of_the_four_independently_and_in_order():
    draws = [tuple(item.name for item in draw) for draw in drawn("multi")]
    assert all(list(draw) == [name for name in ORDER if name in draw] for draw in draws)
    assert len(set(draws)) == 16


def test_none_draws_nothing_and_an_unknown_name_is_refused():
    assert draw_reference("none", reference_stream("x")) == ()
    with pytest.raises(ValueError, match="must be one of blur, crop, jpeg, noise, got 'sharpen'"):
        draw_reference_perturbation("sharpen", reference_stream("x"))
    with pytest.raises(ValueError, match="must be one of blur, crop, jpeg, noise, got 'sharpen'"):
        apply_reference(noise(1), (ReferencePerturbation("sharpen", 1.0),), reference_stream("x"))


@pytest.mark.parametrize("kernel", [3, 5, 7, 9])
def test_blur_has_sigma_four_whatever_the_kernel(kernel):
    pixels = noise(1, 40, 48)
    reach = kernel // 2
    expected = ndimage.gaussian_filter(pixels.astype(float), (4, 4, 0), mode="mirror", radius=(reach, reach, 0))
    # Weights are rounded to 1/256 each, which shifts a sum of values up to 255 by at most kernel / 2 of a grey level
    # a direction.
    np.testing.assert_allclose(blur(pixels, kernel), expected, atol=kernel + 0.5)
    assert np.abs(blur(pixels, kernel) - expected).mean() < 0.6


def test_blur_of_a_flat_image_changes_nothing():
    flat = np.full((16, 16, 3), 201, np.uint8)
    for kernel in (3, 5, 7, 9):
        np.testing.assert_array_equal(blur(flat, kernel), flat)


def test_crop_keeps_what_lies_between_the_cuts_and_enlarges_it():
    rows = np.repeat(np.arange(100, dtype=np.uint8)[:, None, None] * 2, 100, axis=1).repeat(3, axis=2)
    whole = crop_and_resize(rows, 0.2, (0.25, 0.9))  # 20 rows cut off: 5 above, 15 below; columns are all alike
    assert whole.shape == rows.shape
    assert (whole[0, 0, 0] // 2, round(whole[-1, 0, 0] / 2)) == (5, 84)
    columns = crop_and_resize(rows.transpose(1, 0, 2), 0.2, (0.9, 0.25))
    np.testing.assert_array_equal(columns, whole.transpose(1, 0, 2))


def test_enlarging_is_cubic_convolution_with_opencvs_coefficient():
    point = np.zeros((20, 20, 3), np.uint8)
    point[:, 10] = 200  # a vertical line: only columns matter
    cut = 10 / 20  # from 20 columns to 10, then back to 20: a factor of exactly 2
    enlarged = crop_and_resize(point, cut, (0.5, 0.5))
    # Places lie a quarter of a pixel beside the kept ones: Keys' kernel at 0.25, 0.75, 1.25 and 1.75 with a = -0.75.
    a = -0.75
    inner = [(a + 2) * t**3 - (a + 3) * t**2 + 1 for t in (0.25, 0.75)]
    outer = [a * (t**3 - 5 * t**2 + 8 * t - 4) for t in (1.25, 1.75)]
    around = 200 * np.array([outer[1], outer[0], inner[1], inner[0], inner[0], inner[1], outer[0], outer[1]])
    expected = np.zeros(20)
    expected[7:15] = around  # the line is kept column 5, so its two halves are at 10 and 11
    np.testing.assert_array_equal(enlarged[3, :, 1], np.rint(np.clip(expected, 0, 255)).astype(np.uint8))


def test_jpeg_is_quality_95_with_red_and_blue_swapped_whatever_was_drawn():
    pixels = noise(1, 64, 64)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[..., ::-1])).save(buffer, "JPEG", quality=95, subsampling="4:2:0")
    expected = np.asarray(Image.open(buffer))[..., ::-1]
    np.testing.assert_array_equal(compress(pixels), expected)
    for quality in (10.0, 74.0):
        step = ReferencePerturbation("jpeg", quality)
        np.testing.assert_array_equal(apply_reference(pixels, (step,), reference_stream("x")), expected)


def test_noise_uses_its_strength_as_standard_deviation_and_truncates():
    grey = np.full((200, 200, 3), 128, np.uint8)
    for deviation in (5.0, 20.0):
        noisy = add_noise(grey, deviation, reference_stream("noise")).astype(float)
        assert noisy.std() == pytest.approx(deviation, rel=0.02)
        assert abs(noisy.mean() - 127.5) < 0.3  # half a grey level is lost


def test_an_image_stream_depends_on_all_of_its_parts_and_nothing_else():
    first = reference_stream("perturb", 0, "real/a/1.png").randn(4)
    np.testing.assert_array_equal(reference_stream("perturb", 0, "real/a/1.png").randn(4), first)
    for other in (("perturb", 1, "real/a/1.png"), ("perturb", 0, "real/a/2.png"), ("perturb", 0)):
        assert (reference_stream(*other).randn(4) != first).all()


def test_a_reference_dataset_has_the_same_bytes_with_one_worker_and_with_two(make_tree, tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "_FEWEST_FOR_A_POOL", 1)
    root = make_tree({"real/real_a": 20, "fake/gan_a": 20})
    made = {}
    for workers in (1, 2):
        out = tmp_path / str(workers)
        parameters = PreparationParameters(size=SIDE, perturb="multi", perturb_mode="reference", workers=workers)
        made[workers] = prepare(root, out, parameters), shard_bytes(out)
    assert made[1][1] == made[2][1]
    assert made[1][0].perturbed == made[2][0].perturbed
    assert set(made[1][0].perturbed) == set(ORDER)


def test_the_two_modes_differ_in_the_dataset_and_in_its_account(make_tree, tmp_path):
    root = make_tree({"real/real_a": 10, "fake/gan_a": 10})
    manifests = {
        mode: prepare(root, tmp_path / mode, PreparationParameters(size=SIDE, perturb="blur", perturb_mode=mode))
        for mode in ("corrected", "reference")
    }
    assert shard_bytes(tmp_path / "corrected") != shard_bytes(tmp_path / "reference")
    for mode, manifest in manifests.items():
        assert manifest.parameters["perturb_mode"] == mode
    with pytest.raises(ValueError, match="made of other parameters"):
        prepare(
            root, tmp_path / "corrected", PreparationParameters(size=SIDE, perturb="blur", perturb_mode="reference")
        )


def test_a_perturbed_record_is_what_the_images_own_stream_gives(make_tree, tmp_path):
    import tensorflow as tf

    root = make_tree({"real/real_a": 6, "fake/gan_a": 6})
    parameters = PreparationParameters(size=SIDE, perturb="noise", perturb_mode="reference", seed=3)
    manifest = prepare(root, tmp_path / "out", parameters)
    files = [str(path) for path in (tmp_path / "out").rglob("*.gz")]
    records = [
        tf.train.Example.FromString(record) for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
    ]
    changed = 0
    for record in records:
        features = record.features.feature
        path = features[names.PATH].bytes_list.value[0].decode()
        random = reference_stream("perturb", 3, path)
        pixels = read_pixels(root / path)
        if random.random_sample() >= 0.5:
            changed += 1
            pixels = add_noise(pixels, random.uniform(5, 20), random)
        stored = read_pixels(io.BytesIO(features[names.IMAGE_BYTES].bytes_list.value[0]))
        np.testing.assert_array_equal(stored, pixels)
    assert len(records) == 12
    assert manifest.perturbed == {"noise": changed}


def test_the_mode_is_not_part_of_an_unperturbed_dataset_and_corrected_is_the_default(make_tree, tmp_path):
    root = make_tree({"real/real_a": 10, "fake/gan_a": 10})
    assert PreparationParameters().perturb_mode == "corrected"
    assert "perturb_mode" not in prepare(root, tmp_path / "out", PreparationParameters(size=SIDE)).parameters


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"perturb": "blur", "perturb_mode": "published"}, "perturb_mode"),
        ({"perturb_mode": "reference"}, "perturb is 'none'. Set perturb to blur"),
    ],
)
def test_impossible_modes_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        PreparationParameters(**values)


def test_the_command_line_takes_the_mode():
    given = build_parser().parse_args(["prepare", "images", "out", "--perturb", "jpeg", "--perturb-mode", "reference"])
    assert (given.perturb, given.perturb_mode) == ("jpeg", "reference")
    assert build_parser().parse_args(["prepare", "images", "out"]).perturb_mode == "corrected"
