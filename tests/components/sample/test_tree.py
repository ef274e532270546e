import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.dataset.seeds import stream
from components.sample.camera import CAMERAS, photograph
from components.sample.generators import DEFAULT_GENERATORS, GENERATORS, build_generator, synthesise
from components.sample.tree import sample_image, write_sample_tree

SIZE = 32


def contents(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in sorted(tree.rglob("*.png"))}


def test_the_tree_has_two_cameras_and_four_generators_of_8_bit_rgb_png(tmp_path):
    calls = []
    summary = write_sample_tree(tmp_path / "tree", 3, SIZE, progress=lambda *call: calls.append(call), workers=1)
    assert summary.counts == {
        **{f"real/{name}": 3 for name in ("real_camera1", "real_camera2")},
        **{f"fake/{name}": 3 for name in DEFAULT_GENERATORS},
    }
    assert json.loads(json.dumps(summary.to_dict()))["counts"] == summary.counts
    assert calls[-1][:2] == (18, 18)
    images = contents(tmp_path / "tree")
    assert len(set(images.values())) == len(images) == 18
    for data in images.values():
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (SIZE, SIZE))


def test_bytes_do_not_depend_on_workers_count_or_other_sources(tmp_path):
    write_sample_tree(tmp_path / "one", 20, SIZE, workers=1)
    write_sample_tree(tmp_path / "two", 20, SIZE, workers=2)
    write_sample_tree(tmp_path / "few", 4, SIZE, generators=["bilinear_demo", "bicubic_demo"], workers=1)
    one = contents(tmp_path / "one")
    assert one == contents(tmp_path / "two")
    few = contents(tmp_path / "few")
    assert {path for path in few if path not in one} == {f"fake/bicubic_demo/{n:06d}.png" for n in range(4)}
    assert all(one[path] == data for path, data in few.items() if path in one)


def test_another_seed_gives_other_images_of_the_same_generator(tmp_path):
    assert sample_image("fake/nearest_demo", 0, SIZE, 0) != sample_image("fake/nearest_demo", 0, SIZE, 1)
    first, second = build_generator("transposed_demo"), build_generator("transposed_demo")
    np.testing.assert_array_equal(first.to_rgb, second.to_rgb)
    np.testing.assert_array_equal(first.stages[1].kernel, second.stages[1].kernel)
    assert (first.to_rgb != build_generator("subpixel_demo").to_rgb).any()


def test_the_same_again_is_not_written_twice_and_another_is_refused(tmp_path):
    first = write_sample_tree(tmp_path / "tree", 1, SIZE, workers=1)
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "tree").rglob("*")}
    again = write_sample_tree(tmp_path / "tree", 1, SIZE, workers=1)
    assert (first.written, again.written) == (True, False)
    assert again.counts == first.counts
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "tree").rglob("*")} == stamps
    with pytest.raises(ValueError, match="exists and was not made by this command with these parameters"):
        write_sample_tree(tmp_path / "tree", 1, SIZE, seed=1)


def test_foreign_directories_are_left_alone_and_empty_ones_used(tmp_path):
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match="foreign: exists"):
        write_sample_tree(tmp_path / "foreign", 1, SIZE)
    assert [path.name for path in (tmp_path / "foreign").iterdir()] == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    assert write_sample_tree(tmp_path / "empty", 1, SIZE, workers=1).written


def test_an_interrupted_run_leaves_nothing_under_the_name_and_can_be_repeated(tmp_path):
    def interrupt(done, total, what):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample_tree(tmp_path / "tree", 1, SIZE, progress=interrupt, workers=1)
    assert not (tmp_path / "tree").exists()
    assert write_sample_tree(tmp_path / "tree", 1, SIZE, workers=1).written
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"per_source": 0}, "per_source: must be at least 1, got 0"),
        ({"size": 100}, "size: must be a multiple of 8 and at least 32, got 100"),
        ({"size": 24}, "size: must be a multiple of 8 and at least 32, got 24"),
        ({"generators": ["nearest_demo", "dalle"]}, "unknown: dalle. Known: nearest_demo, .*bicubic_demo"),
        ({"generators": []}, "at least one"),
        ({"generators": ["nearest_demo", "nearest_demo"]}, "each once"),
    ],
)
def test_impossible_parameters_are_refused_before_anything_is_written(tmp_path, values, message):
    with pytest.raises(ValueError, match=message):
        write_sample_tree(tmp_path / "tree", **values)
    assert list(tmp_path.iterdir()) == []


def log_spectra(images: list[np.ndarray]) -> np.ndarray:
    from scipy.fft import dctn

    grey = np.stack([np.asarray(Image.fromarray(image).convert("L"), float) for image in images])
    return np.log(np.abs(dctn(grey, axes=(1, 2), norm="ortho")) + 1e-3)


def test_every_source_leaves_its_own_spectrum_and_nothing_plainer():
    count, size = 40, 64
    images = {
        **{name: [photograph(camera, stream(name, n), size) for n in range(count)] for name, camera in CAMERAS.items()},
        **{
            name: [synthesise(build_generator(name), stream(name, n), size) for n in range(count)]
            for name in GENERATORS
        },
    }
    spectra = {name: log_spectra(pictures) for name, pictures in images.items()}
    # Nearest mean of the training half, per coefficient: far above chance (1/7) if the spectra differ.
    means = {name: spectrum[: count // 2].mean(axis=0) for name, spectrum in spectra.items()}
    right = [
        min(means, key=lambda other: ((one - means[other])[8:, 8:] ** 2).mean()) == name
        for name, spectrum in spectra.items()
        for one in spectrum[count // 2 :]
    ]
    assert np.mean(right) > 0.6
    brightness = {name: np.mean(pictures) for name, pictures in images.items()}
    contrast = {name: np.mean([picture.std() for picture in pictures]) for name, pictures in images.items()}
    assert max(brightness.values()) - min(brightness.values()) < 20  # pictures of one source spread by about 23
    assert max(contrast.values()) - min(contrast.values()) < 8


@pytest.mark.parametrize(("name", "resampling"), [("bilinear_demo", "BILINEAR"), ("bicubic_demo", "BICUBIC")])
def test_interpolating_generators_interpolate_as_pillow_does(name, resampling):
    channel = np.random.default_rng(0).random((16, 24), np.float32)
    upsampled = build_generator(name).stages[0].upsample(channel[np.newaxis])[0]
    expected = np.asarray(Image.fromarray(channel).resize((48, 32), Image.Resampling[resampling]))
    np.testing.assert_allclose(upsampled[4:-4, 4:-4], expected[4:-4, 4:-4], atol=1e-6)  # borders are treated otherwise


def test_nearest_repeats():
    upsampled = build_generator("nearest_demo").stages[0].upsample(np.arange(4, dtype=np.float32).reshape(1, 2, 2))
    np.testing.assert_array_equal(upsampled[0], [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])


def test_flat_scenes_stay_flat_but_for_the_checkerboard_of_learned_upsamplers():
    flat = np.full((8, 12, 12), 0.5, np.float32)
    for name in GENERATORS:
        spread = float(np.ptp(build_generator(name).stages[0].upsample(flat)[0]))
        assert (0.0005 < spread < 0.1) if name in ("transposed_demo", "subpixel_demo") else spread < 1e-6
