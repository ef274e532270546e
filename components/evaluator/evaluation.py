"""Reading what an Evaluator wrote."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow_model_analysis as tfma


def overall_metrics(evaluation: Path) -> dict[str, float]:
    """Returns the metrics of the overall slice of a ModelEvaluation artifact: metric name -> value.

    Raises:
        ValueError: if the artifact holds no overall slice.
    """
    for slice_key, outputs in tfma.load_eval_result(str(evaluation)).slicing_metrics:
        if slice_key == ():
            return _finite(outputs)
    raise ValueError(f"{evaluation}: holds no metrics of the overall slice.")


def metrics_by_value(evaluation: Path, feature: str) -> dict[str, dict[str, float]]:
    """Returns the metrics of the slices by one feature of a ModelEvaluation artifact: value -> metric name -> value."""
    return {
        str(slice_key[0][1]): _finite(outputs)
        for slice_key, outputs in tfma.load_eval_result(str(evaluation)).slicing_metrics
        if len(slice_key) == 1 and slice_key[0][0] == feature
    }


def _finite(outputs: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value["doubleValue"])
        for name, value in outputs[""][""].items()
        if isinstance(value, dict) and "doubleValue" in value and math.isfinite(float(value["doubleValue"]))
    }
