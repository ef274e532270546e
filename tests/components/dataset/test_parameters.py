import pytest
from pydantic import ValidationError

from components.dataset.parameters import PreparationParameters
from serving.contract import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS


def test_defaults_are_valid_and_share_the_servers_limits():
    parameters = PreparationParameters()
    assert (parameters.train, parameters.eval, parameters.test) == (0.6, 0.2, 0.2)
    assert (parameters.max_image_bytes, parameters.max_image_pixels) == (MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 15}, "size"),
        ({"size": 128.0}, "size"),
        ({"crop": "middle"}, "crop"),
        ({"perturb": "sharpen"}, "perturb"),
        ({"train": 1.5}, "must be in 0..1, got 1.5"),
        ({"train": -0.1}, "must be in 0..1, got -0.1"),
        ({"eval": -1}, "must not be negative, got -1"),
        ({"train": True}, "train"),
        ({"train": 0}, "nothing to train on"),
        ({"train": 0.7, "eval": 0.2, "test": 0.2}, "must sum to at most 1"),
        ({"crop": "celeba", "size": 64}, "defined for 128 px only, got 64"),
        ({"span": -1}, "span"),
        ({"workers": 0}, "workers"),
        ({"shard_size": 0}, "shard_size"),
        ({"max_image_pixels": 10**9}, "max_image_pixels"),
        ({"colour": "grey"}, "colour"),
    ],
)
def test_impossible_values_are_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        PreparationParameters(**values)


def test_images_and_fractions_may_be_mixed():
    assert PreparationParameters(train=20000, eval=0.5, test=0.5).train == 20000
