"""One step of training: the optimizer, and the function that TensorFlow traces.

A step goes through a view on the model that computes the same with less work; what is added to the model for training
alone, an auxiliary task, comes in as further outputs of that view.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from components.models.training_view import training_view
from components.training.auxiliary import AuxiliarySoftmax
from components.training.losses import cross_entropy
from components.training.parameters import TrainingParameters

# Places of the losses that a step returns.
DETECTION, TOTAL = 0, 1


def make_optimizer(parameters: TrainingParameters, variables: Sequence[keras.Variable]) -> keras.optimizers.Optimizer:
    """Return Adam, or with weight decay AdamW; for float16 with a scale of the loss that follows the gradients.

    Args:
        parameters: Parameters of the training.
        variables: Trainable weights, in the order of the gradients. Only kernels decay.
    """
    if parameters.weight_decay:
        adam: keras.optimizers.Optimizer = keras.optimizers.AdamW(
            parameters.learning_rate,
            weight_decay=parameters.weight_decay,
            global_clipnorm=parameters.gradient_norm,
        )
        adam.exclude_from_weight_decay([variable for variable in variables if not variable.name.endswith("kernel")])
    else:
        adam = keras.optimizers.Adam(parameters.learning_rate, global_clipnorm=parameters.gradient_norm)
    optimizer = keras.optimizers.LossScaleOptimizer(adam) if parameters.precision == "float16" else adam
    optimizer.build(variables)
    return optimizer


def decision_of(model: keras.Model) -> keras.layers.Dense:
    """Return the last layer of a model.

    Raises:
        ValueError: if it is not dense.
    """
    decision = model.layers[-1]
    if not isinstance(decision, keras.layers.Dense):
        raise ValueError(f"model: its last layer must be dense, got {type(decision).__name__} '{decision.name}'.")
    return decision


def scoring_function(model: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return the function inputs -> model outputs before the sigmoid or softmax, float32 (batch, outputs), as served.

    The cross-entropy of a probability that was rounded to 0 or 1 has no gradient; that of its logit has.

    Raises:
        ValueError: if the last layer is not dense.
    """
    decision = decision_of(model)
    features = keras.Model(model.input, decision.input)
    return lambda inputs: _logits(decision, features(inputs, training=False))


def training_step(
    model: keras.Model,
    parameters: TrainingParameters,
    optimizer: keras.optimizers.Optimizer,
    auxiliary: AuxiliarySoftmax | None = None,
) -> Callable[..., tf.Tensor]:
    """Return a function that takes one step.

    Args:
        model: Model whose last layer is dense.
        parameters: Parameters of the training; convolutions and activations compute in its precision.
        optimizer: Optimizer of the trainable weights of model and auxiliary task, in this order.
        auxiliary: Second task; None for none.

    Returns:
        The function (inputs, targets, weights, size, source numbers if there is an auxiliary task) -> float32 (2,): the
        losses of detection, or whatever the targets are, and of everything, both divided by the size of the whole
        batch: summed over devices they are means over the batch.
    """
    decision = decision_of(model)
    extra = auxiliary.outputs if auxiliary else []
    view = training_view(keras.Model(model.input, [decision.input, *extra] if extra else decision.input),
                         parameters.precision)  # fmt: skip
    variables = [*model.trainable_variables, *(auxiliary.variables if auxiliary else [])]
    scales = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    smoothing = parameters.label_smoothing

    def step(
        inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor, size: tf.Tensor, *numbers: tf.Tensor
    ) -> tf.Tensor:
        with tf.GradientTape() as tape:
            seen = view(inputs, training=True)
            last, *features = seen if extra else [seen]
            loss = tf.reduce_sum(weights * cross_entropy(targets, _logits(decision, last), smoothing)) / size
            total = loss
            if auxiliary:
                total += tf.reduce_sum(weights * auxiliary.losses(features, *numbers)) / size
            # Small gradients would vanish in float16; the optimizer divides what it gets by the same scale.
            scaled = optimizer.scale_loss(total) if scales else total
        # Keras adds up the gradients of all devices before it applies them.
        optimizer.apply(tape.gradient(scaled, [variable.value for variable in variables]), variables)
        return tf.stack([loss, total])

    return step


def _logits(decision: keras.layers.Dense, features: tf.Tensor) -> tf.Tensor:
    return tf.matmul(tf.cast(features, tf.float32), decision.kernel) + decision.bias
