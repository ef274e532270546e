import json

import numpy as np
import pytest
from PIL import Image

from components.dataset.manifest import Manifest
from components.dataset.parameters import PreparationParameters
from components.dataset.prepare import prepare
from components.errors import StepRefusedError
from components.examples import names
from pipeline.cli.main import main
from tests.support.given_files import records, tree_of_formats, write_images
from tests.support.images import noise

SIDE = 32
FORMAT_SENTENCE = "file format alone tells real from fake for 100 % of the images"


def parameters(**changes) -> PreparationParameters:
    return PreparationParameters(**{"size": SIDE, **changes})


@pytest.fixture(scope="module")
def jpeg_against_png(tmp_path_factory):
    return tree_of_formats(tmp_path_factory.mktemp("images"), real="JPEG", fake="PNG", count=20)


@pytest.fixture(scope="module")
def alike(tmp_path_factory):
    return tree_of_formats(tmp_path_factory.mktemp("images"), real="PNG", fake="PNG", count=20)


def test_what_was_given_stands_in_every_example(tmp_path):
    root = tmp_path / "images"
    write_images(root / "real/real_a", [noise(seed, 40, 48) for seed in range(5)], "JPEG", {"quality": 77})
    write_images(root / "fake/gan_a", [noise(seed)[..., 0] for seed in range(5, 10)], "PNG", {})
    prepare(root, tmp_path / "out", parameters())
    features = (names.GIVEN_WIDTH, names.GIVEN_HEIGHT, names.COLOUR_MODE, names.COMPRESSION, names.RECOMPRESSION)
    seen = {
        (record[names.LABEL], *(record[name] for name in features)) for record in records(tmp_path / "out" / "span-1")
    }
    assert seen == {(0, 48, 40, b"RGB", b"quality 77, 4:2:0", 0), (1, SIDE, SIDE, b"L", b"not JPEG", 0)}


def test_the_size_as_given_is_that_of_the_upright_picture(tmp_path):
    root = tree_of_formats(tmp_path / "images", real="PNG", fake="PNG", count=5)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(noise(99, 40, 50)).save(root / "real/real_a/999.jpg", exif=turned)
    prepare(root, tmp_path / "out", parameters())
    (record,) = [item for item in records(tmp_path / "out" / "span-1") if item[names.PATH].endswith(b"999.jpg")]
    assert (record[names.GIVEN_WIDTH], record[names.GIVEN_HEIGHT]) == (40, 50)


def test_photographs_as_jpeg_and_fakes_as_png_are_warned_of_with_figures(jpeg_against_png, tmp_path):
    manifest = prepare(jpeg_against_png, tmp_path / "out", parameters())
    (warning,) = manifest.warnings
    assert warning.startswith(FORMAT_SENTENCE)
    assert "real: 100 % JPEG; fake: 100 % PNG" in warning
    figures = {figure["property"]: figure["balanced_accuracy"] for figure in manifest.confounds["figures"]}
    assert figures == {"format": 1.0, "compression": 1.0, "resolution": 0.5, "colour_mode": 0.5}
    assert Manifest.load(tmp_path / "out" / "span-1") == manifest


def test_images_that_came_alike_are_not_warned_of(alike, tmp_path):
    manifest = prepare(alike, tmp_path / "out", parameters(confound="fail"))
    assert (manifest.warnings, manifest.confounds["warnings"]) == ([], [])


def test_fail_stops_before_anything_is_written(jpeg_against_png, tmp_path):
    with pytest.raises(StepRefusedError, match=FORMAT_SENTENCE):
        prepare(jpeg_against_png, tmp_path / "out", parameters(confound="fail"))
    assert not (tmp_path / "out").exists()


def test_off_measures_and_says_nothing(jpeg_against_png, tmp_path):
    manifest = prepare(jpeg_against_png, tmp_path / "out", parameters(confound="off"))
    assert manifest.warnings == []
    assert manifest.confounds["figures"][0]["balanced_accuracy"] == 1.0


def test_after_recompression_it_is_a_note_and_nothing_to_fail_on(jpeg_against_png, tmp_path):
    manifest = prepare(jpeg_against_png, tmp_path / "out", parameters(recompress=90, confound="fail"))
    assert manifest.warnings == []
    (note,) = manifest.confounds["notes"]
    assert note.startswith(f"as given, {FORMAT_SENTENCE}")


def test_storing_all_as_png_leaves_the_pixels_and_so_the_warning(jpeg_against_png, tmp_path):
    assert prepare(jpeg_against_png, tmp_path / "out", parameters(recompress="png")).warnings


def test_qualities_resolutions_and_colour_modes_are_found(tmp_path):
    root = tree_of_formats(tmp_path / "images", real="JPEG", fake="JPEG", count=20, quality=95)
    larger = [noise(seed, 40, 40)[..., 0] for seed in range(100, 120)]
    write_images(root / "fake/gan_a", larger, "JPEG", {"quality": 80})
    warnings = prepare(root, tmp_path / "out", parameters()).warnings
    assert [warning.split(" alone")[0] for warning in warnings] == ["JPEG compression", "resolution", "colour mode"]


def test_sources_for_testing_alone_do_not_count(tmp_path):
    root = tree_of_formats(tmp_path / "images", real="PNG", fake="PNG", count=20)
    write_images(root / "fake_testonly/newgan_x", [noise(seed) for seed in range(500, 540)], "JPEG", {})
    figure = prepare(root, tmp_path / "out", parameters()).confounds["figures"][0]
    assert (figure["property"], figure["fake"]) == ("format", {"PNG": 1.0})


def test_the_limit_is_the_callers(tmp_path):
    root = tree_of_formats(tmp_path / "images", real="PNG", fake="PNG", count=40)
    write_images(root / "fake/gan_b", [noise(seed) for seed in range(300, 340)], "JPEG", {})
    assert [w.split(" alone")[0] for w in prepare(root, tmp_path / "a", parameters(confound_limit=0.7)).warnings] == [
        "file format"
    ]
    assert prepare(root, tmp_path / "b", parameters(confound_limit=0.8)).warnings == []


def test_a_dataset_that_stands_is_judged_by_todays_limit_and_not_written_again(jpeg_against_png, tmp_path):
    first = prepare(jpeg_against_png, tmp_path / "out", parameters(confound="off"))
    stamp = (tmp_path / "out" / "span-1" / "manifest.json").stat().st_mtime_ns
    again = prepare(jpeg_against_png, tmp_path / "out", parameters())
    assert (first.warnings, len(again.warnings)) == ([], 1)
    with pytest.raises(StepRefusedError, match=FORMAT_SENTENCE):
        prepare(jpeg_against_png, tmp_path / "out", parameters(confound="fail"))
    assert (tmp_path / "out" / "span-1" / "manifest.json").stat().st_mtime_ns == stamp


def test_the_figures_do_not_depend_on_the_number_of_workers(jpeg_against_png, tmp_path, monkeypatch):
    monkeypatch.setattr("components.dataset.pool._FEWEST_FOR_A_POOL", 1)
    one, two = (
        prepare(jpeg_against_png, tmp_path / str(workers), parameters(workers=workers, recompress=90)).to_dict()
        for workers in (1, 2)
    )
    assert one == two


@pytest.mark.parametrize("quality", [0, 101, -5])
def test_no_such_jpeg_quality(quality, tmp_path, capsys):
    assert main(["prepare", str(tmp_path), str(tmp_path / "out"), "--recompress", str(quality)]) == 2
    assert f"--recompress: must be a JPEG quality of 1 to 100 or 'png', got {quality}" in capsys.readouterr().err


def test_the_command_warns_by_default_fails_on_request_and_passes_after_recompression(
    jpeg_against_png, tmp_path, capsys
):
    command = ["prepare", str(jpeg_against_png), str(tmp_path / "out"), "--size", str(SIDE)]
    assert main([*command, "--confound", "fail"]) == 1
    assert FORMAT_SENTENCE in capsys.readouterr().err
    assert main(command) == 0
    assert FORMAT_SENTENCE in capsys.readouterr().out
    assert main([*command, "--span", "2", "--recompress", "90", "--confound", "fail"]) == 0
    assert f"as given, {FORMAT_SENTENCE}" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["confounds"]["warnings"] == summary["warnings"]
    assert len(summary["warnings"]) == 1


def test_the_demonstrations_images_and_real_faces_are_not_flagged(shared_folder, tmp_path):
    if not (shared_folder / "faces").is_dir():
        pytest.skip(f"no faces in {shared_folder}")
    manifest = prepare(shared_folder / "faces", tmp_path / "out", PreparationParameters(confound="fail"))
    assert manifest.confounds["warnings"] == []


def test_pixels_decide_nothing_here(tmp_path):
    """Black photographs and white fakes are easily told apart, but not by their files."""
    root = tmp_path / "images"
    for folder, base in (("real/real_a", 0), ("fake/gan_a", 200)):
        images = [np.full((SIDE, SIDE, 3), base + number, np.uint8) for number in range(20)]
        write_images(root / folder, images, "PNG", {})
    assert prepare(root, tmp_path / "out", parameters()).warnings == []
