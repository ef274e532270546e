"""What TFMA is asked to measure and to require, on which slices."""

import pytest

from components.evaluator.eval_config import attribution_config, detection_config, robustness_config
from components.evaluator.parameters import EvaluationParameters

PARAMETERS = EvaluationParameters.model_validate(
    {
        "detection": {"min_roc_auc": 0.9},
        "attribution": {"min_roc_auc": 0.7, "min_average_precision": 0.3},
        "perturbations": {"jpeg_75": {"min_roc_auc": 0.8}, "blur_5": {}},
    }
)


def _gates(config):
    """Returns {(metric, slice): minimum}; a slice is () or (feature, value)."""
    found = {}
    for metric in config.metrics_specs[0].metrics:
        for threshold in metric.per_slice_thresholds:
            for slicing in threshold.slicing_specs:
                where = next(iter(slicing.feature_values.items()), ())
                found[metric.class_name, where] = threshold.threshold.value_threshold.lower_bound.value
    return found


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (detection_config, {("AUC", ()): 0.9}),
        (attribution_config, {("AUC", ()): 0.7, ("AUCPrecisionRecall", ()): 0.3}),
        (robustness_config, {("AUC", ("perturbation", "jpeg_75")): 0.8}),
    ],
)
def test_gates_stand_on_the_slices_that_they_are_meant_for(make, expected):
    assert _gates(make(PARAMETERS)) == pytest.approx(expected)


def test_perturbations_are_slices_and_never_mixed():
    assert [list(one.feature_keys) for one in robustness_config(PARAMETERS).slicing_specs] == [["perturbation"]]
