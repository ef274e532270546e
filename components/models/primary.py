"""The primary module: real or synthesised?

Six convolutions, three of them halving the resolution. The output of the fourth, `mid_features`, carries the
fingerprints of generators; every secondary module reads it.

The network "paper" is the published one. "wide" learns from a few dozen images a source: it sees its input through
tanh at three gains, so that the faintest residuals and the strongest edges are both within reach of one filter; it
halves the resolution in its first layer, where most of the time goes, and has the filters for several generators.
"blocks", for thousands of images, reads log-spectra of the 8x8 blocks of a JPEG: see components/models/blocks.py.

Every network gives its middle features, its last features and its decision the same names, by which heads, servables
and heatmaps find them.

Source: Khoo, Lim & Phan 2022 (arXiv 2203.09777). Layer names are those of the published weights.
"""

from typing import NamedTuple

import keras
import tensorflow as tf

from components.models.blocks import build_blocks
from components.models.heatmaps import contribution_map, spread_map
from components.models.layers import LayerFactory, require_divisible_by_eight
from components.models.parameters import LayerParameters, Network, network_problem
from components.models.pooling import MeanAndDeviation

MIDDLE_LAYER = "dRelu_04"  # (batch, size / 4, size / 4, 16; wide: 24), blocks: (batch, size / 8, size / 8, 64)
LAST_LAYER = "dRelu_06"  # (batch, size / 8, size / 8, 32), blocks: (batch, size / 16, size / 16, 96)
DECISION_LAYER = "dDecision"
MIDDLE_CHANNELS = 16  # of the published network


class _Convolution(NamedTuple):
    filters: int
    kernel: int
    stride: int = 1
    normalise: bool = True


_NETWORKS: dict[Network, tuple[_Convolution, ...]] = {
    "paper": (
        _Convolution(3, 3, normalise=False),
        _Convolution(8, 4, 2),
        _Convolution(16, 3),
        _Convolution(16, 4, 2),
        _Convolution(32, 3),
        _Convolution(32, 4, 2),
    ),
    "wide": (
        _Convolution(16, 5, 2),
        _Convolution(16, 3),
        _Convolution(24, 3),
        _Convolution(24, 4, 2),
        _Convolution(32, 3),
        _Convolution(32, 4, 2),
    ),
}
# Residuals come in units of 16 grey levels: tanh bends at 1, 4 and 16 of them.
_GAINS = (16.0, 4.0, 1.0)


def build_primary(
    input_shape: tuple[int, int, int], pooled: bool, parameters: LayerParameters, seed: int = 0
) -> keras.Model:
    """Builds an untrained primary module.

    Args:
        input_shape: (height, width, channels), height and width divisible by 8.
        pooled: True averages the last features over the image (pixel input, where a fingerprint may be anywhere);
            False keeps their places (DCT input, where the place is the frequency).
        parameters: network, initialisation and batch normalisation.
        seed: of the initial weights.

    Input shape:
        float32 (batch, height, width, channels).

    Output shape:
        float32 (batch, 1): probability that the image is synthesised, 0..1.

    Raises:
        ValueError: if height or width is not divisible by 8, or the network does not read such an input.
    """
    require_divisible_by_eight(input_shape)
    if problem := network_problem(parameters.network, input_shape[-1], pooled):
        raise ValueError(f"parameters.network: {problem}")
    if parameters.network == "blocks":
        return build_blocks(input_shape, parameters, seed)
    layers = LayerFactory("d", parameters, seed)
    inputs = keras.Input(input_shape, name="dInput")
    features = _at_gains(inputs) if parameters.network == "wide" else inputs
    for index, one in enumerate(_NETWORKS[parameters.network], 1):
        features = layers.block(index, one.filters, one.kernel, one.stride, one.normalise)(features)
    return keras.Model(inputs, layers.decision(pooled)(features), name="primary")


def _at_gains(inputs: keras.KerasTensor) -> keras.KerasTensor:
    """Returns tanh of the inputs at each gain: three times the channels, within -1..1."""
    seen = []
    for number, gain in enumerate(_GAINS, 1):
        scaled = keras.layers.Rescaling(gain, name=f"dGain_{number:02d}")(inputs)
        seen.append(keras.layers.Activation("tanh", name=f"dTanh_{number:02d}")(scaled))
    return keras.layers.Concatenate(name="dGains")(seen)


def with_features(primary: keras.Model) -> keras.Model:
    """Returns a view on a primary module, sharing its weights, that also gives its features.

    Output shape:
        A list: middle features and last features, (batch, height, width, channels) as of `MIDDLE_LAYER` and
        `LAST_LAYER`; the logit (batch, 1), log-odds that the image is synthesised; and the probability (batch, 1).
    """
    decision = primary.get_layer(DECISION_LAYER)
    middle, last = (primary.get_layer(name).output for name in (MIDDLE_LAYER, LAST_LAYER))
    return keras.Model(
        primary.input,
        [middle, last, _Logit(decision, name="dLogit")(decision.input), primary.outputs[0]],
        name="primary_with_features",
    )


def detection_map(primary: keras.Model, last_features: tf.Tensor) -> tf.Tensor:
    """Returns what each place contributes to the logit of a primary module of any network.

    Args:
        primary: The primary module.
        last_features: float32 (batch, height, width, channels), as `with_features` gives them.

    Returns:
        float32 (batch, height, width); see components/models/heatmaps.py.
    """
    kernel = tf.convert_to_tensor(primary.get_layer(DECISION_LAYER).kernel)
    spreads = any(isinstance(layer, MeanAndDeviation) for layer in primary.layers)
    return (spread_map if spreads else contribution_map)(last_features, kernel)


class _Logit(keras.layers.Layer):
    """What a dense layer of one sigmoid unit computes, before the sigmoid."""

    def __init__(self, decision: keras.layers.Dense, **options: object) -> None:
        super().__init__(**options)
        self._decision = decision
        self.built = True

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the logit."""
        kernel, bias = (tf.convert_to_tensor(weight) for weight in (self._decision.kernel, self._decision.bias))
        return tf.linalg.matmul(inputs, kernel) + bias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the shape of the output."""
        return (input_shape[0], 1)
