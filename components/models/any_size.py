"""Networks that average over places take images of any size: what is learnt from windows is asked of whole images."""

import keras

from components.models.pooling import MeanAndDeviation


def averages_over_places(model: keras.Model) -> bool:
    """Returns whether a model reduces its last features over places, so that none of its weights is tied to one."""
    return any(isinstance(layer, keras.layers.GlobalAveragePooling2D | MeanAndDeviation) for layer in model.layers)


def input_of_any_size(model: keras.Model) -> keras.KerasTensor:
    """Returns an input of the model's channels, of any height and width."""
    return keras.Input((None, None, model.input.shape[-1]), name=f"{model.input.name}_of_any_size")


def of_any_size(model: keras.Model) -> keras.Model:
    """Returns a view on a model, sharing its layers, for inputs of any height and width.

    Args:
        model: of convolutions and pooling alone: its weights must not be tied to places.
    """
    return keras.models.clone_model(model, input_tensors=input_of_any_size(model), clone_function=lambda layer: layer)
