"""What the Evaluator of one model computes, over which slices, and what blesses the model (TFMA's EvalConfig)."""

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.parameters import EvaluationParameters, GateParameters
from components.features import names
from components.servable.module import OUTPUT_IS_SOURCE, SIGNATURE_LABELS
from serving import contract

ROC_AUC = "roc_auc"
AVERAGE_PRECISION = "average_precision"

# TFMA integrates its curves over this many thresholds.
_THRESHOLDS = 10_000


def detection_config(parameters: EvaluationParameters) -> config_pb2.EvalConfig:
    """Returns the configuration for the primary module: `fake_probability` against `label`."""
    return _config(
        config_pb2.ModelSpec(
            signature_name=contract.SIGNATURE_EXAMPLES,
            prediction_key=contract.OUTPUT_FAKE_PROBABILITY,
            label_key=names.LABEL,
        ),
        parameters.detection,
    )


def attribution_config(parameters: EvaluationParameters) -> config_pb2.EvalConfig:
    """Returns the configuration for one head: its column of `source_probabilities` against `is_source`."""
    return _config(
        config_pb2.ModelSpec(
            signature_name=contract.SIGNATURE_EXAMPLES,
            prediction_key=contract.OUTPUT_SOURCE_PROBABILITIES,
            label_key=OUTPUT_IS_SOURCE,
            preprocessing_function_names=[SIGNATURE_LABELS],
        ),
        parameters.attribution,
    )


def gates(parameters: GateParameters) -> dict[str, float]:
    """Returns the lower limits that are set: TFMA's metric name -> minimum."""
    limits = {ROC_AUC: parameters.min_roc_auc, AVERAGE_PRECISION: parameters.min_average_precision}
    return {metric: minimum for metric, minimum in limits.items() if minimum is not None}


def _config(model: config_pb2.ModelSpec, parameters: GateParameters) -> config_pb2.EvalConfig:
    limits = gates(parameters)
    metrics = [
        config_pb2.MetricConfig(class_name="ExampleCount"),
        _curve_metric("AUC", ROC_AUC, limits),
        _curve_metric("AUCPrecisionRecall", AVERAGE_PRECISION, limits),
    ]
    return config_pb2.EvalConfig(
        model_specs=[model],
        slicing_specs=[config_pb2.SlicingSpec(), config_pb2.SlicingSpec(feature_keys=[names.SOURCE])],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metrics)],
    )


def _curve_metric(class_name: str, name: str, limits: dict[str, float]) -> config_pb2.MetricConfig:
    """Returns a metric with its gate on the overall slice alone: slices by source hold a single class each."""
    metric = config_pb2.MetricConfig(class_name=class_name, config=f'"name": "{name}", "num_thresholds": {_THRESHOLDS}')
    if name in limits:
        bound = config_pb2.GenericValueThreshold(lower_bound={"value": limits[name]})
        metric.per_slice_thresholds.append(
            config_pb2.PerSliceMetricThreshold(
                slicing_specs=[config_pb2.SlicingSpec()], threshold=config_pb2.MetricThreshold(value_threshold=bound)
            )
        )
    return metric
