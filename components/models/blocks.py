"""The primary module's network "blocks": log-spectra of the 8x8 blocks of a JPEG, at two scales.

Its input are pixels; the first layer turns them into magnitudes of cosine coefficients, of which the network sees the
logarithms, whitened. From there on an image has an eighth of its height and width, so that 248,000 weights cost about
as much as the 46,000 of "wide".

    logarithms      384 channels, (height / 8, width / 8)
    middle          whitened, projected to 64 channels, then two residual units, (height / 8, width / 8)
    last            3 x 3 to 96 filters with stride 2, then one residual unit, (height / 16, width / 16)
    decision        on means and deviations of the last features over places, and on a summary of the magnitudes

A residual unit is relu(x + normalised(3 x 3 convolution(x))): one convolution, whose normalisation starts at a scale of
0.5, so that an untrained unit passes most of its input on.

Source: He et al. 2016, "Deep Residual Learning for Image Recognition" (arXiv 1512.03385), for residual units. The
layers are numbered such that middle and last features have the names that they have in the other networks.
"""

import keras

from components.models.block_spectra import CHANNELS, BlockSpectra, LogMagnitude, SpectrumSummary
from components.models.dropout import CountedDropout
from components.models.layers import BATCH_NORM_EPSILON, Block, LayerFactory
from components.models.parameters import LayerParameters
from components.models.pooling import MeanAndDeviation
from components.models.whitening import WhitenedProjection

CUSTOM_LAYERS = {
    layer.__name__: layer
    for layer in (
        BlockSpectra,
        LogMagnitude,
        SpectrumSummary,
        WhitenedProjection,
        MeanAndDeviation,
        CountedDropout,
    )
}
_RESIDUAL_SCALE = 0.5
_SUMMARY_UNITS = 40
_SUMMARY_RANK = 256  # of 1,152 figures, most of which say what others say
_DROPPED = 0.1


class _BlockLayers(LayerFactory):
    """Makes residual units and dense layers, e.g. dConv_03, dBNorm_03, dAdd_03 and dRelu_03."""

    def normalisation(self, index: int, scale: float = 1.0) -> keras.layers.BatchNormalization:
        return keras.layers.BatchNormalization(
            momentum=self._parameters.batch_norm_momentum,
            epsilon=BATCH_NORM_EPSILON,
            gamma_initializer=keras.initializers.Constant(scale),
            name=f"{self._prefix}BNorm_{index:02d}",
        )

    def residual(self, index: int, filters: int) -> Block:
        convolution = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            use_bias=False,
            kernel_initializer=self._initializer(index, relu=True),
            name=f"{self._prefix}Conv_{index:02d}",
        )
        normalisation = self.normalisation(index, _RESIDUAL_SCALE)
        addition = keras.layers.Add(name=f"{self._prefix}Add_{index:02d}")
        activation = keras.layers.ReLU(name=f"{self._prefix}Relu_{index:02d}")
        return lambda inputs: activation(addition([inputs, normalisation(convolution(inputs))]))

    def projection(self, index: int, units: int, rank: int) -> Block:
        projection = WhitenedProjection(
            units, rank, self._initializer(index, relu=True), name=f"{self._prefix}Project_{index:02d}"
        )
        normalisation = self.normalisation(index)
        activation = keras.layers.ReLU(name=f"{self._prefix}Relu_{index:02d}")
        return lambda inputs: activation(normalisation(projection(inputs)))


def build_blocks(input_shape: tuple[int, int, int], parameters: LayerParameters, seed: int = 0) -> keras.Model:
    """Builds an untrained primary module of this network; call it by `primary.build_primary`.

    Args:
        input_shape: (height, width, 3), height and width divisible by 8.
        parameters: initialisation and batch normalisation.
        seed: of the initial weights and of dropout.

    Input shape:
        float32 (batch, height, width, 3), RGB scaled to -1..1.

    Output shape:
        float32 (batch, 1): probability that the image is synthesised, 0..1.
    """
    layers = _BlockLayers("d", parameters, seed)
    inputs = keras.Input(input_shape, name="dInput")
    magnitudes = BlockSpectra(name="dSpectra")(inputs)
    features = layers.projection(2, 64, rank=CHANNELS)(LogMagnitude(name="dLog")(magnitudes))
    features = layers.residual(3, 64)(features)
    features = layers.residual(4, 64)(features)
    features = layers.block(5, filters=96, kernel=3, stride=2, bias=False)(features)
    features = layers.residual(6, 96)(features)
    summary = layers.projection(8, _SUMMARY_UNITS, rank=_SUMMARY_RANK)(SpectrumSummary(name="dSummary")(magnitudes))
    reduced = keras.layers.Concatenate(name="dConcat")([MeanAndDeviation(name="dMeanStd")(features), summary])
    reduced = CountedDropout(_DROPPED, seed, name="dDropout")(reduced)
    return keras.Model(inputs, layers.classes(1)(reduced), name="primary")
