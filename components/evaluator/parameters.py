"""Parameters of evaluation: what a model must reach to be blessed."""

from typing import Literal

from pydantic import Field

from components.parameters import Parameters


class GateParameters(Parameters):
    """Lower limits on the overall slice; a model that misses one is not blessed. None asks for nothing.

    Attributes:
        min_roc_auc: of ROC-AUC. 0.5 is chance.
        min_average_precision: of average precision. The share of positives is chance.
    """

    min_roc_auc: float = Field(default=0.8, ge=0.0, le=1.0)
    min_average_precision: float | None = Field(default=None, ge=0.0, le=1.0)


class PerturbationGateParameters(Parameters):
    """What the primary module must reach on one kind of perturbed copies. None: it is measured and reported alone.

    Attributes:
        min_roc_auc: of ROC-AUC.
        min_average_precision: of average precision.
    """

    min_roc_auc: float | None = Field(default=None, ge=0.0, le=1.0)
    min_average_precision: float | None = Field(default=None, ge=0.0, le=1.0)


class EvaluationParameters(Parameters):
    """How trained models are judged.

    Attributes:
        split: the split that they are judged on. Thresholds are chosen on "eval", so that "test" is the honest one.
        detection: gates of the primary module.
        attribution: gates of each head.
        perturbations: kinds of perturbed copies on which the primary module is judged again, with their gates, by name,
            e.g. `jpeg_75`, `blur_5`, `resize_0.5`, `resave` (see components/dataset/perturbations.py). All copies of
            a kind were stored alike, real or fake.
    """

    split: Literal["test", "eval"] = "test"
    detection: GateParameters = GateParameters()
    attribution: GateParameters = GateParameters()
    perturbations: dict[str, PerturbationGateParameters] = Field(default_factory=dict)
