"""Servables of published weights: against the golden scores and maps, and what is refused."""

import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.servable.published import PublishedTransform, import_published, read_statistics, source_names
from pipeline.cli.main import main
from serving import contract
from tests.support.images import encode, log_spectrum_by_scipy, noise
from tests.support.published_files import made_up, probabilities, write_published, write_statistics

SIZE = 32
IMAGES = [noise(seed) for seed in range(3)]

# Published weights that scores are known for; more are found where the golden data holds more.
PROVIDED = (
    "attribution_faceshqp_tpdne",
    "attribution_ganfp_progan",
    "attribution_ganfp_progan_dct",
    "primary_faceshqp",
    "primary_ganfp",
    "primary_ganfp_dct",
)
PURE_GRADIENT = "05_grad0"  # nearly all its DCT coefficients are rounding noise, whose logarithm is ill-conditioned


def ask(servable, images, signature=contract.SIGNATURE_DEFAULT):
    answers = tf.saved_model.load(str(servable)).signatures[signature](image_bytes=tf.constant(images))
    return {name: value.numpy() for name, value in answers.items()}


# --- golden data ---


@pytest.fixture(scope="module")
def golden(shared_folder):
    return shared_folder / "reference"


@pytest.fixture(scope="module")
def imported(golden, tmp_path_factory):
    """Imports a published file once: name -> servable."""
    folder, done = tmp_path_factory.mktemp("published"), {}

    def servable(name):
        if name not in done:
            data_set = "ganfp" if "_ganfp" in name else "faceshq+"
            statistics = golden / "statistics" / data_set / "dctnorm" if "_dct" in name else None
            import_published([golden / "weights" / f"{name}.h5"], folder / name, statistics)
            done[name] = folder / name
        return done[name]

    return servable


def golden_images(golden, files):
    return [(golden / "golden" / "images" / file).read_bytes() for file in files]


def names_with_scores() -> list[str]:
    """The provided files, and whatever else lies beside them with scores."""
    shared = Path(os.environ.get("GENATTR_SHARED") or Path(__file__).resolve().parents[4] / "shared")
    weights = {file.stem for file in (shared / "reference/weights").glob("*.h5")}
    scored = {file.stem for file in (shared / "reference/golden/outputs").glob("*.npz")}
    return sorted({*PROVIDED, *(weights & scored)})


@pytest.mark.parametrize("name", names_with_scores())
def test_published_weights_score_the_golden_images(golden, imported, name):
    """1e-4: float32 in another order of summation, behind a logarithm and up to eight layers.

    The published test program computes the same scores from a float64 DCT; its two ways differ by up to 3.4e-4 on
    smooth images, so 5e-4 is what can be asked for there.
    """
    entries = {entry["name"]: entry for entry in json.loads((golden / "golden/outputs/index.json").read_text())}
    size = entries[name]["native_size"]
    files = entries[name]["images"][str(size)]
    tolerance = np.array([5e-3 if PURE_GRADIENT in file else 1e-4 for file in files])
    answers = ask(imported(name), golden_images(golden, files))
    expected = np.load(golden / "golden/outputs" / f"{name}.npz")
    assert (np.abs(answers["fake_probability"] - expected[f"det_{size}"]) <= tolerance).all()
    by_test_program = expected[f"det_{size}_testpath"]
    assert (np.abs(answers["fake_probability"] - by_test_program) <= np.maximum(tolerance, 5e-4)).all()
    heads = [expected[f"att_{size}"]] if f"att_{size}" in expected else []
    assert answers["source_probabilities"].shape == (len(files), len(heads))
    for column, scores in enumerate(heads):
        assert (np.abs(answers["source_probabilities"][:, column] - scores) <= tolerance).all()


@pytest.mark.parametrize("name", ["primary_ganfp", "attribution_ganfp_progan"])
def test_heatmaps_of_pixels_are_the_golden_class_activation_maps(golden, imported, name):
    """5e-5 of the greatest value: sums of 32 float32 products behind six convolutions."""
    expected = np.load(golden / "golden/cam" / f"{name}.npz")
    answers = ask(imported(name), golden_images(golden, expected["files"]), contract.SIGNATURE_EXPLAIN)
    maps = {"det": answers["detection_heatmap"]}
    if "att_cam" in expected:
        maps["att"] = answers["source_heatmaps"][:, 0]
    for model, found in maps.items():
        scale = np.abs(expected[f"{model}_cam"]).max()
        np.testing.assert_allclose(found, expected[f"{model}_cam"], rtol=0, atol=5e-5 * scale)


@pytest.mark.parametrize(
    ("maps", "model"),
    [
        ("attribution_ganfp_progan_dct", "det"),
        ("attribution_ganfp_progan_dct", "att"),
        # The attribution file carries the primary module of the augmented data.
        ("primary_ganfp_dct_aug", "det"),
    ],
)
def test_heatmaps_of_spectra_are_the_golden_maps_before_the_sigmoid(golden, imported, maps, model):
    """Ours explains the logit z, the golden one p = sigmoid(z), whose gradient has the factor dp/dz = p (1 - p), and
    leaves out what speaks against. 1e-3 of each map's greatest value: the logarithm of coefficients near zero.
    """
    expected = np.load(golden / "golden/cam" / f"{maps}.npz")
    images = golden_images(golden, expected["files"])
    answers = ask(imported("attribution_ganfp_progan_dct"), images, contract.SIGNATURE_EXPLAIN)
    ours = answers["detection_heatmap"] if model == "det" else answers["source_heatmaps"][:, 0]
    p = answers["fake_probability"] if model == "det" else answers["source_probabilities"][:, 0]
    of_probability = np.maximum(ours * (p * (1 - p))[:, None, None], 0)
    theirs = expected[f"{model}_gradcam_unnorm"]
    error = np.abs(of_probability - theirs).max(axis=(1, 2)) / theirs.max(axis=(1, 2))
    assert (error <= 1e-3).all()
    # Theirs is then divided by the greatest value of the whole batch; ours depends on its own image alone.
    np.testing.assert_allclose(theirs / theirs.max(), expected[f"{model}_gradcam"], rtol=0, atol=1e-6)


def test_published_statistics_are_read(golden):
    folder = golden / "statistics/ganfp/dctnorm"
    statistics = read_statistics(folder, 128)
    np.testing.assert_array_equal(statistics.mean, np.load(folder / "mean.npy"))
    np.testing.assert_array_equal(statistics.deviation, np.load(folder / "std_dev.npy"))


def test_published_files_of_different_primary_modules_are_refused(golden, tmp_path):
    files = [golden / "weights" / f"{name}.h5" for name in ("primary_ganfp", "attribution_ganfp_progan")]
    with pytest.raises(ValueError, match=r"differs from .*primary_ganfp.h5 in dConv_01, .*dDecision"):
        import_published(files, tmp_path / "servable")


# --- made-up files ---


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory):
    """A DCT servable of a primary file and two attribution files that share its module."""
    folder = tmp_path_factory.mktemp("two_heads")
    files = [
        write_published(folder / "attribution_x_second_dct.h5", SIZE, False, head_seed=3),
        write_published(folder / "primary_x_dct.h5", SIZE, False),
        write_published(folder / "attribution_x_first_dct.h5", SIZE, False, head_seed=2),
    ]
    result = import_published(files, folder / "base" / "1", write_statistics(folder / "statistics"))
    return folder, files, result


@pytest.fixture
def primary_file(tmp_path):
    return write_published(tmp_path / "primary_x.h5")


def test_attribution_files_of_one_primary_module_become_one_servable_with_a_head_each(two_heads):
    folder, files, result = two_heads
    statistics = read_statistics(folder / "statistics", SIZE)
    spectra = np.stack([log_spectrum_by_scipy(image) for image in IMAGES])
    inputs = (spectra - statistics.mean[..., None]) / statistics.deviation[..., None]
    expected = {seed: probabilities(made_up(SIZE, False, 1, seed), inputs.astype(np.float32), False) for seed in (2, 3)}
    answers = ask(folder / "base" / "1", [encode(image) for image in IMAGES])
    assert answers["source_names"].tolist() == [[b"second", b"first"]] * 3  # the files' order
    np.testing.assert_allclose(answers["fake_probability"], expected[2]["d"], atol=1e-4)
    np.testing.assert_allclose(answers["source_probabilities"][:, 0], expected[3]["a"], atol=1e-4)
    np.testing.assert_allclose(answers["source_probabilities"][:, 1], expected[2]["a"], atol=1e-4)
    assert result.to_dict() == {
        "servable": str(folder / "base" / "1"),
        "representation": "dct",
        "size": SIZE,
        "primary": str(files[0]),
        "sources": {"second": str(files[0]), "first": str(files[2])},
    }


def test_the_servable_is_complete_and_readable_by_a_server(two_heads):
    base = two_heads[0] / "base"
    assert [entry.name for entry in base.iterdir()] == ["1"]  # nothing is left of the writing
    assert stat.S_IMODE((base / "1").stat().st_mode) == 0o755
    assert json.loads((base / "1" / contract.ASSET_OPERATING_POINTS).read_text()) == {
        "detection": 0.5,
        "sources": {"second": 0.5, "first": 0.5},
        "level": "instance",
        "input": {"representation": "dct", "size": SIZE, "colour": "grey"},
    }
    assert (base / "1" / contract.WARMUP_REQUESTS).stat().st_size > 0


def empty_and_full_shapes(servable, signature, image):
    """Shapes of each output, without the batch: of no rows, and of one."""
    loaded = tf.saved_model.load(str(servable))
    name = contract.SIGNATURES[signature][0]
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[image]))
    example = tf.train.Example(features=tf.train.Features(feature={"image_bytes": feature})).SerializeToString()
    row = {"image_bytes": image, "examples": example}[name]
    empty = loaded.signatures[signature](**{name: tf.constant([], tf.string)})
    full = loaded.signatures[signature](**{name: tf.constant([row])})
    return [{output: (len(value), *value.shape[1:]) for output, value in answers.items()} for answers in (empty, full)]


@pytest.mark.parametrize("signature", list(contract.SIGNATURES))
def test_an_empty_batch_of_spectra_gets_empty_answers(two_heads, signature):
    empty, full = empty_and_full_shapes(two_heads[0] / "base" / "1", signature, encode(IMAGES[0]))
    assert empty == {output: (0, *shape[1:]) for output, shape in full.items()}


@pytest.mark.parametrize("signature", list(contract.SIGNATURES))
def test_an_empty_batch_gets_empty_answers_of_published_weights(imported, signature):
    image = encode(noise(1, 128, 128))
    empty, full = empty_and_full_shapes(imported("attribution_ganfp_progan_dct"), signature, image)
    assert empty == {output: (0, *shape[1:]) for output, shape in full.items()}
    if signature == contract.SIGNATURE_EXPLAIN:
        assert full[contract.OUTPUT_SOURCE_HEATMAPS] == (1, 1, 16, 16)


def test_a_primary_file_alone_becomes_a_servable_without_heads(primary_file, tmp_path, capsys):
    code = main(["import-weights", str(primary_file), "-o", str(tmp_path / "servable"), "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert (code, printed["representation"], printed["sources"]) == (0, "pixel", {})
    answers = ask(tmp_path / "servable", [encode(image) for image in IMAGES])
    inputs = np.stack(IMAGES).astype(np.float32) / 127.5 - 1
    expected = probabilities(made_up(SIZE, True, 1, None), inputs, True)["d"]
    np.testing.assert_allclose(answers["fake_probability"], expected, atol=1e-5)
    assert answers["source_probabilities"].shape == (3, 0)
    assert ask(tmp_path / "servable", [encode(IMAGES[0])], "explain")["source_heatmaps"].shape == (1, 0, 4, 4)


def test_the_transform_gives_the_published_input(tmp_path):
    statistics = read_statistics(write_statistics(tmp_path, variance=True), SIZE)
    features = PublishedTransform(SIZE, statistics)(tf.constant([encode(image) for image in IMAGES]))
    spectra = np.stack([log_spectrum_by_scipy(image) for image in IMAGES])
    expected = (spectra - np.load(tmp_path / "mean.npy")[..., None]) / np.sqrt(np.load(tmp_path / "variance.npy"))[
        ..., None
    ]
    # float32: the smallest coefficients of noise lie near 0.1, those of rounding near 1e-4
    np.testing.assert_allclose(features["dct"], expected, atol=5e-3)
    np.testing.assert_array_equal(features["pixel"], np.stack(IMAGES).astype(np.float32) / np.float32(127.5) - 1)
    assert set(PublishedTransform(SIZE, None)(tf.constant([encode(IMAGES[0])]))) == {"pixel"}


# --- names ---


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("attribution_ganfp_progan.h5", "progan"),
        ("attribution_ganfp_progan_dct.h5", "progan"),
        ("attribution_ganfp_cramergan_dct_crop_es20.h5", "cramergan"),
        ("attribution_faceshqp_stylegan2_tpdne_aug.h5", "stylegan2_tpdne"),
        ("attribution_ganfp_progan_lr4_es20.h5", "progan"),
        ("my-head_dct.h5", "my-head_dct"),
    ],
)
def test_a_source_is_named_by_its_file(file, source):
    assert source_names([Path("weights") / file]) == [source]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (["a"], "one name for each attribution file, got 1 names for 2 files"),
        (["a", "a"], r"'a': names the heads of attribution_x_a.h5 and attribution_x_b.h5"),
        (["a", "real"], "must not be one of primary, real, unknown_generator, contradiction, uncertain"),
        (["primary", "b"], "must not be one of primary"),
        (["a", "../b"], "must start with a letter or digit"),
        (["", "b"], "must start with a letter or digit"),
    ],
)
def test_unfit_names_are_refused(sources, message):
    with pytest.raises(ValueError, match=message):
        source_names([Path("attribution_x_a.h5"), Path("attribution_x_b.h5")], sources)


def test_names_for_files_without_heads_are_refused(primary_file, tmp_path):
    with pytest.raises(ValueError, match="none of the files has a head"):
        import_published([primary_file], tmp_path / "servable", sources=["a"])


# --- refusals ---


def test_different_primary_modules_are_refused_with_files_and_layers(tmp_path, primary_file, capsys):
    other = write_published(tmp_path / "attribution_x_a.h5", primary_seed=9, head_seed=2)
    code = main(["import-weights", str(primary_file), str(other), "-o", str(tmp_path / "servable")])
    message = capsys.readouterr().err
    assert code == 2
    assert "do not share one primary module" in message
    assert f"{other} differs from {primary_file} in dConv_01, dConv_02, dBNorm_02" in message
    assert not (tmp_path / "servable").exists()


def test_different_inputs_are_refused(tmp_path, primary_file):
    larger = write_published(tmp_path / "larger.h5", 40)
    with pytest.raises(ValueError, match=r"larger.h5 takes RGB pixels of 40 x 40, .*primary_x.h5 takes .* 32 x 32"):
        import_published([primary_file, larger], tmp_path / "servable")


def test_a_dct_model_without_statistics_is_refused(tmp_path):
    file = write_published(tmp_path / "a.h5", pooled=False)
    with pytest.raises(ValueError, match=r"a.h5: takes the normalised DCT.*by `statistics`"):
        import_published([file], tmp_path / "servable")


def test_statistics_for_a_model_of_pixels_are_refused(tmp_path, primary_file):
    with pytest.raises(ValueError, match=r"statistics: .*primary_x.h5 takes pixels"):
        import_published([primary_file], tmp_path / "servable", write_statistics(tmp_path / "statistics"))


def test_nothing_to_import_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no file to import"):
        import_published([], tmp_path / "servable")


def test_what_stands_there_is_never_overwritten(tmp_path, primary_file):
    (tmp_path / "servable").mkdir()
    (tmp_path / "servable" / "kept").touch()
    with pytest.raises(ValueError, match="must be a new or an empty directory"):
        import_published([primary_file], tmp_path / "servable")
    assert [entry.name for entry in (tmp_path / "servable").iterdir()] == ["kept"]


def test_a_servable_that_cannot_be_written_leaves_nothing_behind(tmp_path, primary_file, monkeypatch):
    def fail(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr("components.servable.published.export_servable", fail)
    (tmp_path / "base").mkdir()
    with pytest.raises(OSError, match="no space"):
        import_published([primary_file], tmp_path / "base" / "1")
    assert list((tmp_path / "base").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mean", lambda values: values[:16], r"mean.npy: must be floating-point of shape \(32, 32\).*\(16, 32\)"),
        ("mean", lambda values: values.astype(int), r"mean.npy: must be floating-point .* found int64"),
        ("mean", lambda values: values * np.nan, r"mean.npy: must be finite"),
        ("std_dev", lambda values: values * 0, r"std_dev.npy: must be above 0 everywhere, found 0.0"),
        ("std_dev", lambda values: -values, r"std_dev.npy: must be above 0"),
        ("std_dev", lambda values: values * 1e-60, r"std_dev.npy: must be above 0"),
        ("mean", lambda values: values.astype(object), r"mean.npy: cannot be read as a NumPy array"),
    ],
)
def test_unfit_statistics_are_refused(tmp_path, name, change, message):
    folder = write_statistics(tmp_path)
    np.save(folder / f"{name}.npy", change(np.load(folder / f"{name}.npy")), allow_pickle=True)
    with pytest.raises(ValueError, match=message):
        read_statistics(folder, SIZE)


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY\x01\x00"])
def test_files_that_are_no_arrays_are_refused(tmp_path, content):
    (write_statistics(tmp_path) / "mean.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"mean.npy: cannot be read as a NumPy array"):
        read_statistics(tmp_path, SIZE)


@pytest.mark.parametrize("missing", ["mean.npy", "std_dev.npy"])
def test_missing_statistics_are_refused(tmp_path, missing):
    (write_statistics(tmp_path) / missing).unlink()
    with pytest.raises(ValueError, match=r"must hold mean.npy and std_dev.npy or variance.npy"):
        read_statistics(tmp_path, SIZE)


def test_a_deviation_that_is_not_the_root_of_the_variance_is_refused(tmp_path):
    write_statistics(tmp_path)
    write_statistics(tmp_path, seed=1, variance=True)
    with pytest.raises(ValueError, match=r"std_dev.npy must be the square root of variance.npy"):
        read_statistics(tmp_path, SIZE)
