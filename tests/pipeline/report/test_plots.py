"""Plots are well-formed SVG in the page's colours; pictures show the values that they were made from."""

import base64
import io
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from components.metrics.reliability import reliability_points
from pipeline.report import images, plots
from pipeline.report.plot_style import Plot

HOSTILE = '<script>alert("x")</script> & $\\frac{1}{2'


def _scores(count: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    return labels, np.clip(random.normal(0.3 + 0.4 * labels, 0.2), 0, 1).astype(np.float32)


def _pixels(uri: str) -> np.ndarray:
    header, _, payload = uri.partition(",")
    assert header == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(payload))).convert("RGB")).astype(int)


def _texts(plot: Plot) -> set[str]:
    return {element.text or "" for element in ElementTree.fromstring(plot.svg).iter("{http://www.w3.org/2000/svg}text")}


def _plots(key: str, text: str) -> list[Plot]:
    labels, scores = _scores()
    profile = np.linspace(5, 0, 20)
    return [
        plots.roc_plot({text: (labels, scores), "eval": (labels, scores)}, 0.5, key, text),
        plots.histogram_plot(labels, scores, 0.5, ("real", text), key, text),
        plots.history_plot({"loss": [2, 1], f"val_{text}": [2, float("nan")]}, "loss", key, text),
        plots.reliability_plot({text: reliability_points(labels, scores)}, key, text),
        plots.quality_plot({text: {75: (0.7, 0.6, 0.8), 95: (0.9, 0.8, 0.95)}}, 0.97, key, text),
        plots.radial_plot({"camera": profile, text: profile + 1}, {"camera": 0, text: 1}, "mean", key, text),
    ]


@pytest.mark.parametrize("index", range(6))
def test_a_plot_is_well_formed_and_takes_its_colours_from_the_page(index):
    svg = _plots("p", "sngan")[index].svg
    root = ElementTree.fromstring(svg)
    assert root.attrib["role"] == "img" and root.attrib["aria-label"] == "sngan"
    assert "var(--ink)" in svg and "var(--line)" in svg
    assert not re.search(r"#01[0-9a-f]{2}fe", svg)
    assert "<style" not in svg and "<metadata" not in svg and len(svg) < 30_000


@pytest.mark.parametrize("index", range(6))
def test_names_from_outside_are_in_the_legend_and_never_drawn(index):
    plot = _plots("p", HOSTILE)[index]
    root = ElementTree.fromstring(plot.svg)
    assert root.attrib["aria-label"] == HOSTILE
    assert "<script" not in plot.svg
    assert not any("alert" in text for text in _texts(plot))
    assert any(HOSTILE in entry.label for entry in plot.legend)


def test_equal_plots_are_equal_text_and_identifiers_differ_between_keys():
    first, again, other = (_plots(key, "sngan") for key in ("a", "a", "b"))
    assert [plot.svg for plot in first] == [plot.svg for plot in again]
    for one, two in zip(first, other, strict=True):
        ids = [set(re.findall(r'\bid="([^"]*)"', plot.svg)) for plot in (one, two)]
        assert ids[0] and not ids[0] & ids[1]
        used = set(re.findall(r"url\(#([^)]*)\)", one.svg)) | set(re.findall(r'href="#([^"]*)"', one.svg))
        assert used and used <= ids[0]


def test_the_roc_legend_gives_area_and_rates_at_the_threshold():
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.6, 0.6, 0.9])
    legend = [entry.label for entry in plots.roc_plot({"test": (labels, scores)}, 0.6, "p", "").legend]
    assert legend == ["test: area 0.875", "threshold: FPR 50.0%, TPR 100.0%"]


def test_a_single_class_has_a_histogram_and_says_why_there_is_no_curve():
    labels, scores = np.ones(5, int), np.linspace(0, 1, 5)
    roc = plots.roc_plot({"testonly": (labels, scores)}, 0.5, "p", "")
    assert [entry.label for entry in roc.legend] == ["testonly: no curve, one class only"]
    histogram = plots.histogram_plot(labels, scores, None, ("real", "fake"), "p", "")
    assert [entry.label for entry in histogram.legend] == ["real: 0 images", "fake: 5 images"]


def test_the_reliability_legend_counts_images_and_groups():
    labels, scores = _scores(100)
    points = reliability_points(labels, scores)
    legend = plots.reliability_plot({"calibrated": points, "before": points}, "p", "").legend
    assert [(entry.label, entry.dashed) for entry in legend] == [
        ("calibrated: 100 images in 5 groups", False),
        ("before: 100 images in 5 groups", True),
    ]


def test_an_unknown_interval_and_an_unknown_plain_area_are_not_drawn():
    nan = float("nan")
    plot = plots.quality_plot({"primary": {75: (0.7, nan, nan), 95: (0.9, nan, nan)}}, nan, "p", "")
    ElementTree.fromstring(plot.svg)
    assert "nan" not in plot.svg.lower()
    assert [entry.label for entry in plot.legend] == ["primary"]


def test_beyond_ten_heads_the_quality_plot_names_the_primary_module_only():
    areas = {name: {75: (0.7, 0.6, 0.8), 95: (0.9, 0.8, 0.95)} for name in ("primary", *(f"gan{n}" for n in range(30)))}
    legend = [entry.label for entry in plots.quality_plot(areas, 0.97, "p", "").legend]
    assert legend == ["primary", "primary, images as they were: 0.970", "30 heads, each a line"]


def test_a_large_curve_stays_small():
    labels, scores = _scores(50_000)
    assert len(plots.roc_plot({"test": (labels, scores)}, 0.5, "p", "").svg) < 30_000


def test_beyond_ten_generators_the_radial_plot_names_the_real_sources_only():
    names = [f"gan{index}" for index in range(100)]
    profiles = dict.fromkeys([*names, "camera"], np.linspace(5, 0, 20))
    plot = plots.radial_plot(profiles, {**dict.fromkeys(names, 1), "camera": 0}, "mean", "p", "")
    assert [entry.label for entry in plot.legend] == ["100 generators, each a line", "camera"]


def test_radial_profile_is_the_mean_over_rings():
    spectrum = np.random.default_rng(1).normal(size=(16, 16))
    distance = np.hypot(*np.indices((16, 16)))
    expected = [spectrum[np.abs(distance - r) <= 0.5].mean() for r in range(1, 22)]
    np.testing.assert_allclose(images.radial_profile(spectrum), expected)
    ring = np.rint(distance)
    np.testing.assert_allclose(images.radial_profile(ring), np.arange(1, 22))


def test_spectra_share_one_scale_and_differences_are_red_where_a_generator_has_more():
    camera = np.add.outer(np.arange(32), np.arange(32)) * -0.1
    gan, other = camera.copy(), camera - 0.5
    gan[20, 20] += 3
    spectra = {"camera": camera, "gan": gan, "other": other}
    pictures = images.spectrum_pictures(spectra, {"camera": 0, "gan": 1, "other": 1}, 64)
    assert set(pictures.spectra) == set(spectra) and set(pictures.differences) == {"gan", "other"}
    first, second = _pixels(pictures.spectra["camera"]), _pixels(pictures.spectra["gan"])
    assert np.abs(first - second).sum(axis=2).nonzero() == (np.array([20]), np.array([20]))  # all else: same colour
    difference = _pixels(pictures.differences["gan"])
    red, _, blue = difference[20, 20]
    assert red > blue + 50
    assert np.ptp(difference[0, 0]) < 15  # no difference: nearly white
    assert _pixels(pictures.differences["other"])[5, 5][2] > _pixels(pictures.differences["other"])[5, 5][0] + 50


def test_several_real_sources_are_compared_with_their_mean_and_none_means_no_comparison():
    spectra = {name: np.full((8, 8), value) for name, value in (("a", 0.0), ("b", 1.0), ("gan", 2.0))}
    np.testing.assert_array_equal(images.mean_real_spectrum(spectra, {"a": 0, "b": 0, "gan": 1}), np.full((8, 8), 0.5))
    assert set(images.spectrum_pictures(spectra, {"a": 0, "b": 0, "gan": 1}, 8).differences) == {"a", "b", "gan"}
    assert images.mean_real_spectrum(spectra, {"gan": 1}) is None
    assert not images.spectrum_pictures(spectra, {"gan": 1}, 8).differences


def test_large_and_not_finite_spectra_are_shown():
    spectrum = np.full((100, 100), np.nan)
    spectrum[0, 1] = np.inf
    pictures = images.spectrum_pictures({"gan": spectrum}, {"gan": 1}, 32)
    assert _pixels(pictures.spectra["gan"]).shape == (25, 25, 3)


def test_spectra_of_different_sizes_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"got \(8, 8\) and, for 'gan', \(4, 4\)"):
        images.spectrum_pictures({"camera": np.zeros((8, 8)), "gan": np.zeros((4, 4))}, {"camera": 0, "gan": 1}, 8)


def test_a_small_sample_is_shown_bit_by_bit_and_a_large_one_reduced():
    buffer = io.BytesIO()
    Image.new("RGB", (64, 32), "red").save(buffer, "PNG")
    small = images.sample_picture(buffer.getvalue())
    assert small == "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    buffer = io.BytesIO()
    Image.new("L", (1000, 500), 128).convert("RGB").save(buffer, "BMP")
    large = images.sample_picture(buffer.getvalue())
    assert large is not None and large.startswith("data:image/jpeg;base64,")
    assert Image.open(io.BytesIO(base64.b64decode(large.partition(",")[2]))).size == (128, 64)


def test_what_is_no_image_gives_none():
    buffer = io.BytesIO()
    Image.effect_noise((300, 300), 50).save(buffer, "PNG")
    for content in (b"", b"text", HOSTILE.encode(), buffer.getvalue()[:2000]):
        assert images.sample_picture(content) is None
