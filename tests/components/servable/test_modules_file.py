"""Modules read back from a servable, against those that it was made of."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from components.models.distances import SourceDistance
from components.models.primary import MIDDLE_LAYER, with_features
from components.servable.export import export_servable
from components.servable.module import AttributionModule
from components.servable.modules_file import MODULES_FILE, rebuild_modules, write_modules
from components.servable.operating_points import OperatingPoints
from serving.servable.versions import Version
from tests.components.servable.test_views import SIZE, models
from tests.support.transforms import FixedTransform

DESCRIPTIONS = {"primary": {"task": "detection"}, "gan_a": {"source": "gan_a"}, "gan_b": {"source": "gan_b"}}
RANDOM = np.random.default_rng(5)


def assembled(folder, representation, heads=("gan_a", "gan_b")):
    inputs, primary, of_heads = models(heads, representation)
    for head in of_heads.values():  # batch normalisation as a training leaves it
        for name in ("aBNorm_01", "aBNorm_02"):
            layer = head.get_layer(name)
            layer.set_weights([RANDOM.uniform(0.5, 2.0, weight.shape) for weight in layer.get_weights()])
    channels = next(iter(of_heads.values())).get_layer("aRelu_02").output.shape[-1] if of_heads else 0
    distance = SourceDistance(RANDOM.normal(size=channels), np.eye(channels), 3.0, "given")
    points = OperatingPoints(0.5, dict.fromkeys(of_heads, 0.5))
    distances = {"gan_b": distance} if of_heads else None
    module = AttributionModule(FixedTransform(SIZE), inputs, primary, of_heads, points, distances=distances)
    export_servable(folder, module)
    write_modules(folder, primary, of_heads, {name: DESCRIPTIONS[name] for name in ("primary", *heads)})
    return primary, of_heads, distance


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("modules")


@pytest.fixture(scope="module", params=["residual", "pixel"])
def rebuilt(request, directory):
    folder = directory / request.param
    return assembled(folder, request.param), rebuild_modules(Version(1, folder))


def test_the_primary_module_has_the_weights_that_it_was_saved_with(rebuilt):
    (primary, *_), (found, _) = rebuilt
    assert found.description == DESCRIPTIONS["primary"]
    for weight, wanted in zip(found.model.weights, primary.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), wanted.numpy(), err_msg=weight.path)


def test_heads_answer_as_they_did(rebuilt):
    (primary, heads, _), (_, found) = rebuilt
    assert {name: head.description for name, head in found.items()} == {name: DESCRIPTIONS[name] for name in heads}
    inputs = tf.constant(RANDOM.uniform(-1, 1, (4, *primary.input.shape[1:])), tf.float32)
    middle = with_features(primary)(inputs)[0]
    assert middle.shape[-1] == primary.get_layer(MIDDLE_LAYER).output.shape[-1]
    for name, head in heads.items():
        np.testing.assert_allclose(found[name].model(middle), head(middle), atol=1e-5)


def test_a_distance_comes_back_with_the_head_that_had_it(rebuilt):
    (*_, distance), (_, found) = rebuilt
    assert found["gan_a"].distance is None
    np.testing.assert_allclose(found["gan_b"].distance.mean, distance.mean, rtol=1e-6)
    assert found["gan_b"].distance.limit == distance.limit


def test_a_servable_without_heads_has_none_to_give(tmp_path):
    assembled(tmp_path / "1", "residual", heads=())
    assert rebuild_modules(Version(1, tmp_path / "1"))[1] == {}


def test_a_servable_that_does_not_describe_its_modules_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no assets\.extra/modules\.json.*earlier release"):
        rebuild_modules(Version(1, tmp_path))


@pytest.mark.parametrize("rebuilt", ["pixel"], indirect=True)
@pytest.mark.parametrize("damage", ["truncated", "later format", "other layers", "no variables"])
def test_a_damaged_servable_is_refused_by_its_file(rebuilt, directory, tmp_path, damage):
    folder = tmp_path / "1"
    shutil.copytree(directory / "pixel", folder)
    path = folder / MODULES_FILE
    content = json.loads(path.read_text())
    if damage == "truncated":
        path.write_text(path.read_text()[:100])
    elif damage == "later format":
        path.write_text(json.dumps({**content, "format_version": 2}))
    elif damage == "other layers":
        _, primary, _ = models((), "residual")
        content["layers"]["primary"] = json.loads(primary.to_json())
        path.write_text(json.dumps(content))
    else:
        (folder / "variables" / "variables.index").unlink()
    with pytest.raises(ValueError, match=r"modules\.json: does not fit the servable beside it"):
        rebuild_modules(Version(1, folder))
