"""Exported servables, reloaded, against the models and rules they were made of."""

import json
import shutil
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.features.parameters import InputParameters
from components.models.parameters import LayerParameters
from components.models.primary import MIDDLE_LAYER, build_primary, detection_map, with_features
from components.models.secondary import build_secondary
from components.servable.export import WARMUP_BATCH_SIZES, export_servable
from components.servable.module import AttributionModule
from components.servable.operating_points import OperatingPoints
from serving import contract
from tests.support.images import SIZE, encode, noise
from tests.support.transforms import FixedTransform

NAMES = ("stripes_b", "smooth_a")  # not in alphabetical order: theirs is that of the configuration
WARMUP = "assets.extra/tf_serving_warmup_requests"


def scattered(model: keras.Model) -> keras.Model:
    """Moves the batch-normalisation statistics, and raises the last kernel, so that answers differ between images."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0.0, 0.5, layer.moving_mean.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2.0, layer.moving_variance.shape))
        if layer.name.endswith("Decision"):
            layer.kernel.assign(layer.kernel * 3.0)
    return model


def make_servable(folder, representation, thresholds, detection=0.5, for_evaluation=False, band=None, network="paper"):
    inputs = InputParameters(representation=representation, size=SIZE)
    pooled, layers = representation == "pixel", LayerParameters()
    primary = scattered(build_primary(inputs.shape, pooled, LayerParameters(network=network), seed=1))
    middle = primary.get_layer(MIDDLE_LAYER).output.shape[1:]
    heads = {
        name: scattered(build_secondary(middle, pooled, layers, seed=seed))
        for seed, name in enumerate(thresholds, start=2)
    }
    points, transform = OperatingPoints(detection, thresholds, band), FixedTransform()
    export_servable(folder, AttributionModule(transform, inputs, primary, heads, points), for_evaluation)
    loaded = tf.saved_model.load(str(folder))
    return SimpleNamespace(
        folder=folder, transform=transform, primary=primary, heads=heads, points=points, pooled=pooled,
        representation=representation, loaded=loaded, signatures=loaded.signatures,
    )  # fmt: skip


@pytest.fixture(scope="module")
def servable(tmp_path_factory):
    """A servable as it is pushed: DCT input and two heads."""
    return make_servable(tmp_path_factory.mktemp("dct") / "7", "dct", {NAMES[0]: 0.4, NAMES[1]: 0.6})


@pytest.fixture(scope="module")
def headless(tmp_path_factory):
    """A primary module on its own, as its trainer exports it for the Evaluator: pixel input."""
    return make_servable(tmp_path_factory.mktemp("pixel") / "1", "pixel", {}, for_evaluation=True)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A head as its trainer exports it for the Evaluator: pixel input."""
    return make_servable(tmp_path_factory.mktemp("head") / "1", "pixel", {NAMES[0]: 0.5}, for_evaluation=True)


@pytest.fixture(params=["servable", "headless", "evaluated"])
def any_servable(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def images():
    """Three ramps with grain and three of noise; two of the six are larger than the window."""
    rng = np.random.default_rng(5)
    ramps = [
        np.linspace(0, 255, SIZE)[:, None, None] * rng.uniform(0, 1, 3) + rng.normal(0, 4, (SIZE, SIZE, 3))
        for _ in range(3)
    ]
    flat = [np.clip(ramp, 0, 255).astype(np.uint8) for ramp in ramps]
    return [encode(image) for image in (*flat, noise(1), noise(2, 40, 61), noise(3, 33, 32))]


def example_of(image: bytes, source: str = "") -> bytes:
    features = {
        "image_bytes": image,
        "source": source.encode(),
        "architecture": source.partition("_")[0].encode(),
    }
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for name, value in features.items()
            }
        )
    ).SerializeToString()


def ask(servable, images, signature="serving_default"):
    answers = servable.signatures[signature](image_bytes=tf.constant(images, tf.string, [len(images)]))
    return {name: value.numpy() for name, value in answers.items()}


def direct(servable, images):
    """What the Keras models say: fake probabilities (batch,), source probabilities (batch, heads)."""
    features = servable.transform(tf.constant(images))[servable.representation]
    middle = keras.Model(servable.primary.inputs, servable.primary.get_layer("dRelu_04").output)(features)
    sources = [head(middle).numpy()[:, 0] for head in servable.heads.values()]
    return servable.primary(features).numpy()[:, 0], np.array(sources).T.reshape(len(images), len(sources))


# --- signatures ---


def test_a_pushed_servable_has_the_four_signatures_of_the_contract_and_no_more(servable):
    assert set(servable.signatures) == {"serving_default", "serving_examples", "explain", "transform_features"}


def test_a_head_for_the_evaluator_also_tells_its_labels(evaluated):
    assert set(evaluated.signatures) - set(contract.SIGNATURES) == {"attribution_labels"}


def test_inputs_and_outputs_have_the_contracts_names_and_types(any_servable):
    strings, floats = tf.string, tf.float32
    prediction = {
        "fake_probability": floats,
        "source_probabilities": floats,
        "source_names": strings,
        "verdict": strings,
    }
    heatmaps = {"detection_heatmap": floats, "source_heatmaps": floats}
    expected = {
        "serving_default": ("image_bytes", prediction),
        "serving_examples": ("examples", prediction),
        "explain": ("image_bytes", prediction | heatmaps),
        "transform_features": ("examples", {"pixel": floats, "dct": floats, "residual": floats}),
    }
    for name, (input_name, outputs) in expected.items():
        signature = any_servable.signatures[name]
        inputs = signature.structured_input_signature[1]
        assert {key: (spec.dtype, spec.shape.as_list()) for key, spec in inputs.items()} == {
            input_name: (strings, [None])
        }
        assert {key: spec.dtype for key, spec in signature.structured_outputs.items()} == outputs, name


# --- answers ---


def test_probabilities_are_those_of_the_keras_models(any_servable, images):
    answers = ask(any_servable, images)
    fake, sources = direct(any_servable, images)
    assert np.ptp(fake) > 0.01  # the images differ to the models, so equality says something
    np.testing.assert_allclose(answers["fake_probability"], fake, atol=1e-6)
    np.testing.assert_allclose(answers["source_probabilities"], sources, atol=1e-6)
    assert answers["source_probabilities"].shape == (len(images), len(any_servable.heads))


def test_source_names_stand_in_the_order_of_the_heads_in_every_row(servable, images):
    assert ask(servable, images)["source_names"].tolist() == [[name.encode() for name in NAMES]] * len(images)


def test_the_verdict_follows_from_the_probabilities_and_the_operating_points(any_servable, images):
    answers = ask(any_servable, images)
    thresholds = any_servable.points.sources
    for fake, sources, verdict in zip(
        answers["fake_probability"], answers["source_probabilities"], answers["verdict"], strict=True
    ):
        claims = {name: p for (name, t), p in zip(thresholds.items(), sources, strict=True) if p >= np.float32(t)}
        if fake >= 0.5:
            expected = max(claims, key=claims.get) if claims else "unknown_generator"
        else:
            expected = "contradiction" if claims else "real"
        assert verdict.decode() == expected


def test_serialized_examples_get_the_same_answers_as_their_images(any_servable, images):
    by_image = ask(any_servable, images)
    examples = tf.constant([example_of(image) for image in images])
    by_example = any_servable.signatures["serving_examples"](examples=examples)
    for name, expected in by_image.items():
        np.testing.assert_array_equal(by_example[name], expected, err_msg=name)


def test_an_answer_does_not_depend_on_the_batch_it_came_in(any_servable, images):
    together = ask(any_servable, images)
    for row, image in enumerate(images):
        alone = ask(any_servable, [image])
        for name in ("fake_probability", "source_probabilities"):
            np.testing.assert_allclose(alone[name][0], together[name][row], atol=1e-6)


@pytest.mark.parametrize(
    "bad", [b"", b"junk", encode(noise(9))[:400], encode(noise(9, 31, 90))], ids=["empty", "junk", "cut", "too small"]
)
def test_an_image_that_cannot_be_judged_is_an_invalid_argument(servable, images, bad):
    with pytest.raises(tf.errors.InvalidArgumentError):
        ask(servable, [images[0], bad])


def test_an_example_without_an_image_is_an_invalid_argument(servable):
    with pytest.raises(tf.errors.InvalidArgumentError, match="image_bytes"):
        servable.signatures["serving_examples"](examples=tf.constant([tf.train.Example().SerializeToString()]))


# --- explain ---


def test_explain_gives_the_answers_and_a_map_for_each_model(any_servable, images):
    answers, plain = ask(any_servable, images, "explain"), ask(any_servable, images)
    for name, expected in plain.items():
        if name.endswith("ies") or name.endswith("ity"):
            np.testing.assert_allclose(answers[name], expected, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(answers[name], expected, err_msg=name)
    assert answers["detection_heatmap"].shape == (6, 4, 4)
    assert answers["source_heatmaps"].shape == (6, len(any_servable.heads), 4, 4)


def test_each_map_adds_up_to_the_logit_of_its_model(any_servable, images):
    answers = ask(any_servable, images, "explain")
    reduce = np.mean if any_servable.pooled else np.sum
    maps = [answers["detection_heatmap"], *np.moveaxis(answers["source_heatmaps"], 1, 0)]
    probabilities = [answers["fake_probability"], *answers["source_probabilities"].T]
    models = [any_servable.primary, *any_servable.heads.values()]
    for heatmap, probability, model in zip(maps, probabilities, models, strict=True):
        bias = float(model.layers[-1].bias.numpy()[0])
        logit = reduce(heatmap.astype(float), axis=(1, 2)) + bias
        np.testing.assert_allclose(1.0 / (1.0 + np.exp(-logit)), probability, atol=1e-5)


# --- the network of block spectra ---


@pytest.fixture(scope="module")
def blocks(tmp_path_factory):
    """A servable of block spectra with two heads."""
    folder = tmp_path_factory.mktemp("blocks") / "7"
    return make_servable(folder, "pixel", {NAMES[0]: 0.4, NAMES[1]: 0.6}, network="blocks")


@pytest.mark.parametrize("signature", ["serving_default", "explain"])
def test_a_servable_of_block_spectra_answers_as_its_models(blocks, images, signature):
    answers = ask(blocks, images, signature)
    inputs = blocks.transform(tf.constant(images))["pixel"]
    middle, _, _, probability = with_features(blocks.primary)(inputs)
    np.testing.assert_allclose(answers["fake_probability"], probability[:, 0], atol=1e-5)
    for column, head in enumerate(blocks.heads.values()):
        np.testing.assert_allclose(answers["source_probabilities"][:, column], head(middle)[:, 0], atol=1e-5)


def test_a_servable_of_block_spectra_explains_itself(blocks, images):
    answers = ask(blocks, images, "explain")
    _, last, _, _ = with_features(blocks.primary)(blocks.transform(tf.constant(images))["pixel"])
    expected = detection_map(blocks.primary, last).numpy()
    assert answers["detection_heatmap"].shape == (6, 2, 2)
    assert answers["source_heatmaps"].shape == (6, 2, 2, 2)
    np.testing.assert_allclose(answers["detection_heatmap"], expected, atol=1e-4 * np.abs(expected).max())


def test_an_image_alone_gets_the_answers_that_it_gets_among_others(blocks, images):
    together = ask(blocks, images)["fake_probability"]
    alone = [ask(blocks, [image])["fake_probability"][0] for image in images]
    np.testing.assert_allclose(alone, together, atol=1e-6)


def test_a_servable_of_block_spectra_answers_an_empty_batch(blocks):
    answers = ask(blocks, [], "explain")
    assert (answers["detection_heatmap"].shape, answers["source_heatmaps"].shape) == ((0, 2, 2), (0, 2, 2, 2))


# --- transform_features and labels ---


def test_transform_features_are_what_the_models_read(any_servable, images):
    served = any_servable.signatures["transform_features"](
        examples=tf.constant([example_of(image) for image in images])
    )
    expected = any_servable.transform(tf.constant(images))
    for name in ("pixel", "dct", "residual"):
        np.testing.assert_allclose(served[name], expected[name], atol=1e-5)


def test_attribution_labels_say_whether_an_example_is_of_the_heads_source(evaluated, images):
    sources = [NAMES[0], NAMES[1], "real_ffhq"]
    examples = tf.constant([example_of(image, source) for image, source in zip(images, sources, strict=False)])
    labels = evaluated.signatures["attribution_labels"](examples=examples)["is_source"]
    assert labels.dtype == tf.int64
    assert labels.numpy().tolist() == [[1], [0], [0]]


def test_labels_of_a_head_for_an_architecture_are_those_of_all_its_sources(images, headless, tmp_path):
    inputs = InputParameters(representation="pixel", size=SIZE)
    head = build_secondary((SIZE // 4, SIZE // 4, 16), True, LayerParameters(), seed=2)
    module = AttributionModule(
        headless.transform, inputs, headless.primary, {"stripes": head}, OperatingPoints(0.5, {"stripes": 0.5}),
        level="architecture",
    )  # fmt: skip
    export_servable(tmp_path / "1", module, for_evaluation=True)
    examples = [example_of(images[0], source) for source in ("stripes_a", "stripes_b", "smooth_a")]
    labels = tf.saved_model.load(str(tmp_path / "1")).signatures["attribution_labels"](examples=tf.constant(examples))
    assert labels["is_source"].numpy().tolist() == [[1], [1], [0]]
    assert json.loads((tmp_path / "1" / "assets" / "operating_points.json").read_text())["level"] == "architecture"


# --- files ---


def test_operating_points_travel_in_the_assets(servable):
    assert json.loads((servable.folder / "assets" / "operating_points.json").read_text()) == {
        "detection": 0.5,
        "sources": {"stripes_b": 0.4, "smooth_a": 0.6},
        "level": "instance",
        "input": {"representation": "dct", "size": SIZE, "colour": "grey"},
    }


def test_the_label_map_tells_labels_columns_and_every_verdict(servable):
    assert json.loads((servable.folder / "assets" / "label_map.json").read_text()) == {
        "detection": {"real": 0, "fake": 1},
        "sources": list(NAMES),
        "verdicts": ["real", "unknown_generator", "contradiction", *NAMES],
    }


def test_without_heads_nothing_can_contradict(headless):
    label_map = json.loads((headless.folder / "assets" / "label_map.json").read_text())
    assert label_map["verdicts"] == ["real", "unknown_generator"]


def test_a_band_travels_in_both_assets_and_decides_in_every_signature(headless, tmp_path):
    images = [encode(noise(number)) for number in range(6)]
    said = headless.signatures[contract.SIGNATURE_DEFAULT](image_bytes=tf.constant(images))
    lowest, *_, highest = np.sort(said[contract.OUTPUT_FAKE_PROBABILITY].numpy())[1:-1]  # one outside at either end
    band = (float(lowest), float(highest))
    banded = make_servable(tmp_path / "1", "pixel", {}, band=band)
    points = json.loads((banded.folder / "assets" / "operating_points.json").read_text())
    assert points["uncertain_band"] == list(band)
    label_map = json.loads((banded.folder / "assets" / "label_map.json").read_text())
    assert label_map["verdicts"] == ["real", "unknown_generator", "uncertain"]
    for signature in (contract.SIGNATURE_DEFAULT, contract.SIGNATURE_EXPLAIN):
        answers = banded.signatures[signature](image_bytes=tf.constant(images))
        fake = answers[contract.OUTPUT_FAKE_PROBABILITY].numpy()
        expected = [
            "uncertain" if lowest <= value <= highest else "unknown_generator" if value >= np.float32(0.5) else "real"
            for value in fake
        ]
        assert expected.count("uncertain") == 4
        assert [verdict.decode() for verdict in answers[contract.OUTPUT_VERDICT].numpy()] == expected


@pytest.mark.parametrize("signature", list(contract.SIGNATURES))
def test_an_empty_batch_gets_empty_answers(any_servable, signature):
    name = contract.SIGNATURES[signature][0]
    full = {"image_bytes": encode(noise(1)), "examples": example_of(encode(noise(1)))}[name]
    run = any_servable.signatures[signature]
    expected = {output: value.shape[1:] for output, value in run(**{name: tf.constant([full])}).items()}
    answers = run(**{name: tf.constant([], tf.string)})
    assert {output: value.shape for output, value in answers.items()} == {
        output: (0, *shape) for output, shape in expected.items()
    }


@pytest.mark.parametrize("row", [0, 3])
def test_the_reloaded_graph_names_the_row_that_it_refuses(any_servable, images, row):
    batch = list(images)
    batch[row] = encode(noise(9, 31, 90))
    with pytest.raises(tf.errors.InvalidArgumentError, match=rf"image_bytes\[{row}\]: is 90 x 31 pixels, smaller"):
        ask(any_servable, batch)


def test_a_servable_survives_being_moved(servable, images, tmp_path):
    moved = shutil.copytree(servable.folder, tmp_path / "elsewhere" / "9")
    answers = tf.saved_model.load(str(moved)).signatures["serving_default"](image_bytes=tf.constant(images))
    np.testing.assert_allclose(answers["fake_probability"], ask(servable, images)["fake_probability"], atol=1e-6)


def warmup_requests(servable):
    records = tf.data.TFRecordDataset(str(servable.folder / WARMUP)).as_numpy_iterator()
    return [prediction_log_pb2.PredictionLog.FromString(record).predict_log.request for record in records]


def test_every_warmup_request_is_one_that_the_servable_answers(servable):
    for request in warmup_requests(servable):
        assert request.model_spec.name == "generator_attribution"
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        outputs = servable.signatures[request.model_spec.signature_name](**inputs)
        (rows,) = {len(value) for value in inputs.values()}
        assert {len(value) for value in outputs.values()} == {rows}


def test_warmup_covers_every_signature_at_every_batch_size(servable):
    asked = {
        (request.model_spec.signature_name, next(iter(request.inputs.values())).tensor_shape.dim[0].size)
        for request in warmup_requests(servable)
    }
    assert asked == {(signature, size) for signature in contract.SIGNATURES for size in WARMUP_BATCH_SIZES}


def test_a_model_for_the_evaluator_has_no_warmup(evaluated):
    assert not (evaluated.folder / WARMUP).exists()


# --- operating points ---


@pytest.mark.parametrize(
    ("detection", "sources", "name"), [(1.5, {}, "detection"), (0.5, {"a": -0.1}, "a"), (float("nan"), {}, "detection")]
)
def test_a_threshold_outside_0_to_1_is_refused_by_name(detection, sources, name):
    with pytest.raises(ValueError, match=f"operating point of '{name}': must lie in 0..1, got"):
        OperatingPoints(detection, sources)


@pytest.mark.parametrize("band", [(0.6, 0.4), (0.5, 0.5), (-0.1, 0.5), (0.5, 1.1), (float("nan"), 0.5)])
def test_a_band_that_is_none_is_refused(band):
    with pytest.raises(ValueError, match=r"uncertain band: must be two probabilities in 0\.\.1, the lower first, got"):
        OperatingPoints(0.5, {}, band)


def test_operating_points_of_other_sources_than_the_heads_are_refused(servable):
    swapped = OperatingPoints(0.5, {"smooth_a": 0.5, "stripes_b": 0.5})
    inputs = InputParameters(representation="dct", size=SIZE)
    with pytest.raises(ValueError, match=r"operating points are for \['smooth_a', 'stripes_b'\], the heads are"):
        AttributionModule(servable.transform, inputs, servable.primary, servable.heads, swapped)
