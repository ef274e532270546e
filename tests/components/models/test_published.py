"""Reading published weight files: what is in them gets to its place, and nothing that is not as it must be gets in."""

import h5py
import keras
import numpy as np
import pytest

from components.models.primary import MIDDLE_LAYER
from components.models.published import PublishedFileError, differing_layers, read_published
from tests.support.published_files import describe, made_up, probabilities, write_file, write_published

SIZE = 32


def edited(folder, change=None, reconfigure=None, head_seed=None, pooled=True):
    """A made-up file after `change(weights)` and `reconfigure(layer name -> its entry)`."""
    weights, config = made_up(SIZE, pooled, 1, head_seed), describe(SIZE, pooled, head_seed is not None)
    if change:
        change(weights)
    if reconfigure:
        reconfigure({entry["name"]: entry for entry in config["config"]["layers"]})
    return write_file(folder / "edited.h5", weights, config)


def refusal(path) -> str:
    with pytest.raises(ValueError, match=path.name) as refused:
        read_published(path)
    assert isinstance(refused.value, PublishedFileError)
    return str(refused.value)


@pytest.mark.parametrize("pooled", [True, False])
def test_modules_score_as_their_layers_computed_by_hand(tmp_path, pooled):
    model = read_published(write_published(tmp_path / "a.h5", SIZE, pooled, head_seed=2))
    inputs = np.random.default_rng(0).normal(0, 1, (3, SIZE, SIZE, 3 if pooled else 1)).astype(np.float32)
    expected = probabilities(made_up(SIZE, pooled, 1, 2), inputs, pooled)
    assert np.ptp(expected["d"]) > 1e-3  # the images are told apart, so a lost weight would show
    np.testing.assert_allclose(model.primary(inputs, training=False).numpy()[:, 0], expected["d"], atol=1e-5)
    middle = model.primary.get_layer(MIDDLE_LAYER)
    features = keras.Model(model.primary.inputs[0], middle.output)(inputs, training=False)
    np.testing.assert_allclose(model.head(features, training=False).numpy()[:, 0], expected["a"], atol=1e-5)


@pytest.mark.parametrize(("size", "pooled"), [(32, True), (40, False)])
def test_the_input_is_derived_from_the_file(tmp_path, size, pooled):
    model = read_published(write_published(tmp_path / "a.h5", size, pooled))
    assert (model.size, model.pooled, model.head) == (size, pooled, None)
    assert model.primary.input_shape == (None, size, size, 3 if pooled else 1)


def test_every_weight_is_taken_bit_for_bit(tmp_path):
    model = read_published(write_published(tmp_path / "a.h5", head_seed=2))
    expected = made_up(SIZE, True, 1, 2)
    found = {
        layer.name: {variable.name: variable.numpy() for variable in layer.weights}
        for layer in (*model.primary.layers, *model.head.layers)
        if layer.weights
    }
    assert found.keys() == expected.keys()
    for layer, variables in expected.items():
        assert {name: values.tobytes() for name, values in variables.items()} == {
            name: values.tobytes() for name, values in found[layer].items()
        }


def test_primary_modules_are_compared_to_the_last_bit(tmp_path):
    def nudge(weights):
        bias = weights["dBNorm_03"]["beta"]
        bias[5] = np.nextafter(bias[5], np.float32(9))

    first = read_published(write_published(tmp_path / "a.h5"))
    same = read_published(write_published(tmp_path / "b.h5", head_seed=3))
    nudged = read_published(edited(tmp_path, nudge))
    assert differing_layers(first.primary, same.primary) == []
    assert differing_layers(first.primary, nudged.primary) == ["dBNorm_03"]


def test_modules_of_different_shapes_are_not_compared(tmp_path):
    models = [read_published(write_published(tmp_path / f"{n}.h5", pooled=pooled)) for n, pooled in enumerate((1, 0))]
    with pytest.raises(ValueError, match="one architecture"):
        differing_layers(models[0].primary, models[1].primary)


# --- refusals ---


def test_a_file_that_is_not_there(tmp_path):
    assert "is not a file" in refusal(tmp_path / "absent.h5")


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n" + b"\0" * 512])
def test_a_file_that_is_not_hdf5(tmp_path, content):
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    assert "cannot be read as HDF5" in refusal(path)


def test_a_truncated_file(tmp_path):
    path = write_published(tmp_path / "a.h5")
    path.write_bytes(path.read_bytes()[:-4000])
    assert "cannot be read as HDF5" in refusal(path)


def test_a_file_of_weights_alone(tmp_path):
    assert "'model_config'" in refusal(write_file(tmp_path / "a.h5", made_up(SIZE, True, 1, None), None))


@pytest.mark.parametrize("config", [[], {"config": {}}, {"config": {"layers": [{"name": "dInput"}]}}])
def test_a_description_that_describes_no_model(tmp_path, config):
    path = write_file(tmp_path / "a.h5", made_up(SIZE, True, 1, None), config)
    assert "does not describe a Keras model" in refusal(path)


@pytest.mark.parametrize("shape", [[None, 32, 40, 3], [None, 36, 36, 3], [None, 32, 32, 1], [None, None, None, 3], "x"])
def test_an_input_that_our_modules_do_not_take(tmp_path, shape):
    def reconfigure(entries):
        entries["dInput"]["config"]["batch_input_shape"] = shape

    message = refusal(edited(tmp_path, reconfigure=reconfigure))
    assert "layer 'dInput'" in message
    assert "(batch, size, size, 3)" in message
    assert str(shape) in message


def test_layers_of_another_architecture(tmp_path):
    def reconfigure(entries):
        entries["dDecision"]["config"]["name"] = "aDecision"

    message = refusal(edited(tmp_path, reconfigure=reconfigure))
    assert "lacks" in message
    assert "dDecision" in message


def test_heads_beyond_the_first(tmp_path):
    def reconfigure(entries):
        entries["aDecision"]["config"]["name"] = "a2Decision"

    message = refusal(edited(tmp_path, reconfigure=reconfigure, head_seed=2))
    assert "lacks aDecision and adds a2Decision" in message


@pytest.mark.parametrize(
    ("layer", "setting", "value", "expected"),
    [
        ("dBNorm_02", "epsilon", 1e-5, "0.001"),
        ("dConv_04", "strides", [1, 1], "[2, 2]"),
        ("dConv_03", "padding", "valid", "same"),
        ("aDecision", "activation", "softmax", "sigmoid"),
        ("aRelu_01", "negative_slope", 0.2, "0.0"),
    ],
)
def test_a_layer_that_computes_something_else(tmp_path, layer, setting, value, expected):
    def reconfigure(entries):
        entries[layer]["config"][setting] = value

    message = refusal(edited(tmp_path, reconfigure=reconfigure, head_seed=2))
    assert f"layer '{layer}': {setting} must be {expected}, found {value}" in message


def test_a_layer_of_another_class(tmp_path):
    def reconfigure(entries):
        entries["dRelu_05"]["class_name"] = "Lambda"

    assert "layer 'dRelu_05': must be a ReLU, found Lambda" in refusal(edited(tmp_path, reconfigure=reconfigure))


def test_a_missing_weight(tmp_path):
    message = refusal(edited(tmp_path, lambda weights: weights["dBNorm_04"].pop("gamma")))
    assert "layer 'dBNorm_04': gamma: must stand at model_weights/dBNorm_04/dBNorm_04/gamma:0" in message


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (np.zeros((3, 3, 8, 15), np.float32), "float32 of shape (3, 3, 8, 15)"),
        (np.zeros((3, 3, 8, 16), np.float64), "float64 of shape (3, 3, 8, 16)"),
        (np.zeros((), np.float32), "float32 of shape ()"),
    ],
)
def test_a_weight_of_another_shape_or_type(tmp_path, values, found):
    message = refusal(edited(tmp_path, lambda weights: weights["dConv_03"].update(kernel=values)))
    assert f"layer 'dConv_03': kernel: must be float32 of shape (3, 3, 8, 16), found {found}" in message


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite(tmp_path, value):
    def spoil(weights):
        weights["dDecision"]["kernel"][3, 0] = value

    message = refusal(edited(tmp_path, spoil))
    assert "layer 'dDecision': kernel: must be finite, found 1 of 32 values" in message


def test_a_negative_variance(tmp_path):
    def spoil(weights):
        weights["aBNorm_01"]["moving_variance"][0] = -1.0

    assert "layer 'aBNorm_01': moving_variance: must not be negative" in refusal(edited(tmp_path, spoil, head_seed=2))


def test_a_weight_in_another_file_is_not_followed(tmp_path):
    place = "model_weights/dConv_01/dConv_01/kernel:0"
    path = edited(tmp_path)
    write_published(tmp_path / "other.h5")
    with h5py.File(path, "r+") as file:
        del file[place]
        file[place] = h5py.ExternalLink("other.h5", place)
    assert "layer 'dConv_01': kernel" in refusal(path)


def test_bytes_of_another_file_are_not_read(tmp_path):
    place = "model_weights/dConv_01/dConv_01/bias:0"
    path = edited(tmp_path)
    (tmp_path / "raw").write_bytes(bytes(12))
    with h5py.File(path, "r+") as file:
        del file[place]
        file.create_dataset(place, (3,), np.float32, external=[(str(tmp_path / "raw"), 0, 12)])
    assert "must be an array stored in this file" in refusal(path)
