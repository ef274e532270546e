import pytest
from pydantic import ValidationError

from components.features.parameters import InputParameters


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        ({"representation": "pixel", "size": 64}, (64, 64, 3)),
        ({"representation": "pixel", "colour": "grey", "size": 64}, (64, 64, 1)),
        ({"representation": "dct"}, (128, 128, 1)),
        ({"representation": "dct", "colour": "rgb", "size": 256}, (256, 256, 3)),
        ({"representation": "residual"}, (128, 128, 6)),
        ({"representation": "residual", "colour": "grey"}, (128, 128, 2)),
        ({}, (128, 128, 1)),
    ],
)
def test_the_shape_follows_representation_colour_and_size(values, shape):
    assert InputParameters(**values).shape == shape


@pytest.mark.parametrize(("representation", "colour"), [("pixel", "rgb"), ("dct", "grey")])
def test_naming_the_published_colour_is_the_same_input_as_leaving_it_out(representation, colour):
    named = InputParameters(representation=representation, colour=colour)
    assert named.model_dump_json() == InputParameters(representation=representation).model_dump_json()


def test_the_colour_that_was_set_is_that_of_the_representation_that_models_see():
    others = {"pixel": "rgb", "dct": "grey", "residual": "rgb"}
    assert InputParameters(representation="pixel", colour="grey").colours == {**others, "pixel": "grey"}
    assert InputParameters(representation="dct", colour="rgb").colours == {**others, "dct": "rgb"}


@pytest.mark.parametrize("values", [{"colour": "cmyk"}, {"representation": "wavelet"}, {"size": 100}, {"size": 24}])
def test_what_no_model_can_see_is_refused(values):
    with pytest.raises(ValidationError):
        InputParameters(**values)


@pytest.mark.parametrize("values", [{"representation": "dct", "views": 4}, {"representation": "pixel", "views": 0}])
def test_views_are_for_models_that_average_over_places(values):
    with pytest.raises(ValidationError, match="views"):
        InputParameters(**values)
