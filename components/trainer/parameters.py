"""Parameters of training, shared by the primary module and the heads."""

from typing import Literal

from pydantic import Field

from components.models.parameters import LayerParameters
from components.parameters import Parameters


class OperatingPointParameters(Parameters):
    """How the threshold of a trained model is chosen.

    Attributes:
        rule: "balanced_accuracy", the threshold that maximises balanced accuracy on the eval split; or "fixed".
        threshold: the threshold of rule "fixed"; the published method uses 0.5.
    """

    rule: Literal["balanced_accuracy", "fixed"] = "balanced_accuracy"
    threshold: float = Field(default=0.5, gt=0.0, lt=1.0)


class TrainingParameters(Parameters):
    """One training.

    Attributes:
        epochs: the most passes over the train split.
        early_stopping: epochs without a better eval split after which training ends; the best epoch's weights are kept
            in any case.
        monitor: what makes an epoch better: a lower "loss", as published, or a higher "roc_auc" (a lower loss where
            that is equal). On small eval splits the loss rises with over-confidence while the ranking still improves.
        batch_size: images a step.
        learning_rate: of Adam.
        class_weights: "balanced" gives both classes the same total weight; "none" as published.
        seed: of initial weights and shuffling.
        layers: initialisation and batch normalisation.
        operating_point: how the threshold is chosen.
        memory_budget_mb: decoded inputs of a split are kept in memory up to this size, and decoded again in each
            epoch past it. (Middle features lie on disk in any case.)
    """

    epochs: int = Field(default=100, ge=1)
    early_stopping: int = Field(default=5, ge=1)
    monitor: Literal["loss", "roc_auc"] = "loss"
    batch_size: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0)
    class_weights: Literal["balanced", "none"] = "balanced"
    seed: int = Field(default=2021, ge=0, lt=2**31)
    layers: LayerParameters = LayerParameters()
    operating_point: OperatingPointParameters = OperatingPointParameters()
    memory_budget_mb: int = Field(default=1024, ge=0)
