"""Reading what an Evaluator wrote."""

import math
from pathlib import Path

import tensorflow_model_analysis as tfma


def overall_metrics(evaluation: Path) -> dict[str, float]:
    """Returns the metrics of the overall slice of a ModelEvaluation artifact: metric name -> value.

    Raises:
        ValueError: if the artifact holds no overall slice.
    """
    for slice_key, outputs in tfma.load_eval_result(str(evaluation)).slicing_metrics:
        if slice_key == ():
            return {
                name: float(value["doubleValue"])
                for name, value in outputs[""][""].items()
                if isinstance(value, dict) and "doubleValue" in value and math.isfinite(float(value["doubleValue"]))
            }
    raise ValueError(f"{evaluation}: holds no metrics of the overall slice.")
