"""The one block that all modules are made of: convolution, batch normalisation, ReLU."""

from collections.abc import Callable

import keras

from components.models.parameters import LayerParameters

BATCH_NORM_EPSILON = 1e-3

Block = Callable[[keras.KerasTensor], keras.KerasTensor]


def require_divisible_by_eight(input_shape: tuple[int, int, int]) -> None:
    """Refuses an input (height, width, channels) that cannot be halved three times.

    Raises:
        ValueError: if height or width is not divisible by 8.
    """
    height, width, _ = input_shape
    if height % 8 or width % 8:
        raise ValueError(f"input_shape: height and width must be divisible by 8, got {input_shape}.")


class LayerFactory:
    """Makes the named layers of one module, each with an initialiser of its own.

    Args:
        prefix: first letter of every layer's name: "d" for the detecting primary module, "a" for an attributing head.
        parameters: initialisation and batch-normalisation momentum.
        seed: seed of the module; layer number i starts from seed + i, so that equally shaped layers start different.
    """

    def __init__(self, prefix: str, parameters: LayerParameters, seed: int) -> None:
        self._prefix = prefix
        self._parameters = parameters
        self._seed = seed

    def block(
        self, index: int, filters: int, kernel: int, stride: int = 1, normalise: bool = True, bias: bool = True
    ) -> Block:
        """Returns Conv2D -> BatchNormalization (optional) -> ReLU, named e.g. dConv_02, dBNorm_02, dRelu_02."""
        convolution = keras.layers.Conv2D(
            filters,
            kernel,
            strides=stride,
            padding="same",
            use_bias=bias,
            kernel_initializer=self._initializer(index, relu=True),
            name=f"{self._prefix}Conv_{index:02d}",
        )
        normalisation = (
            keras.layers.BatchNormalization(
                momentum=self._parameters.batch_norm_momentum,
                epsilon=BATCH_NORM_EPSILON,
                name=f"{self._prefix}BNorm_{index:02d}",
            )
            if normalise
            else None
        )
        activation = keras.layers.ReLU(name=f"{self._prefix}Relu_{index:02d}")

        def apply(inputs: keras.KerasTensor) -> keras.KerasTensor:
            outputs = convolution(inputs)
            if normalisation is not None:
                outputs = normalisation(outputs)
            return activation(outputs)

        return apply

    def decision(self, pooled: bool) -> Block:
        """Returns global average pooling (pooled) or flattening, then one sigmoid unit."""
        reduction: keras.layers.Layer = (
            keras.layers.GlobalAveragePooling2D(name=f"{self._prefix}GAP")
            if pooled
            else keras.layers.Flatten(name=f"{self._prefix}Flatten")
        )
        unit = self.classes(1)
        return lambda inputs: unit(reduction(inputs))

    def classes(self, count: int) -> keras.layers.Dense:
        """Returns the last layer: one sigmoid unit for one class against the rest, else a softmax over all classes.

        Raises:
            ValueError: if count is below 1.
        """
        if count < 1:
            raise ValueError(
                f"classes: must be at least 1, got {count}. Set it to 1 for one class against the rest, or to the "
                "number of classes."
            )
        return keras.layers.Dense(
            count,
            activation="sigmoid" if count == 1 else "softmax",
            kernel_initializer=self._initializer(0, relu=False),
            name=f"{self._prefix}Decision",
        )

    def _initializer(self, index: int, relu: bool) -> keras.initializers.Initializer:
        seed = self._seed + index
        if self._parameters.initialization == "paper":
            return keras.initializers.RandomNormal(0.0, 0.02, seed=seed)
        if relu:
            return keras.initializers.HeNormal(seed=seed)
        return keras.initializers.GlorotUniform(seed=seed)
