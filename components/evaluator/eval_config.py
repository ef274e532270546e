"""What the Evaluator of one model computes, over which slices, and what blesses the model (TFMA's EvalConfig)."""

from tensorflow_model_analysis.proto import config_pb2

from components.evaluator.parameters import EvaluationParameters, GateParameters, PerturbationGateParameters
from components.examples import names
from components.servable.module import OUTPUT_IS_SOURCE, SIGNATURE_LABELS
from serving import contract

ROC_AUC = "roc_auc"
AVERAGE_PRECISION = "average_precision"
_CURVES = {"AUC": ROC_AUC, "AUCPrecisionRecall": AVERAGE_PRECISION}

# TFMA integrates its curves over this many thresholds.
_THRESHOLDS = 10_000


def detection_config(parameters: EvaluationParameters) -> config_pb2.EvalConfig:
    """Returns the configuration for the primary module: `fake_probability` against `label`."""
    return _config(_detection_model(), parameters.detection)


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


def robustness_config(parameters: EvaluationParameters) -> config_pb2.EvalConfig:
    """Returns the configuration for the primary module on perturbed copies: a slice and its gates a perturbation."""
    metrics = []
    for class_name, name in _CURVES.items():
        metric = _metric(class_name, name)
        for perturbation, gate in parameters.perturbations.items():
            if (minimum := gates(gate).get(name)) is not None:
                only = config_pb2.SlicingSpec(feature_values={names.PERTURBATION: perturbation})
                metric.per_slice_thresholds.append(_threshold(only, minimum))
        metrics.append(metric)
    return config_pb2.EvalConfig(
        model_specs=[_detection_model()],
        slicing_specs=[config_pb2.SlicingSpec(feature_keys=[names.PERTURBATION])],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[config_pb2.MetricConfig(class_name="ExampleCount"), *metrics])],
    )


def gates(parameters: GateParameters | PerturbationGateParameters) -> dict[str, float]:
    """Returns the lower limits that are set: TFMA's metric name -> minimum."""
    limits = {ROC_AUC: parameters.min_roc_auc, AVERAGE_PRECISION: parameters.min_average_precision}
    return {metric: minimum for metric, minimum in limits.items() if minimum is not None}


def _detection_model() -> config_pb2.ModelSpec:
    return config_pb2.ModelSpec(
        signature_name=contract.SIGNATURE_EXAMPLES,
        prediction_key=contract.OUTPUT_FAKE_PROBABILITY,
        label_key=names.LABEL,
    )


def _config(model: config_pb2.ModelSpec, parameters: GateParameters) -> config_pb2.EvalConfig:
    limits = gates(parameters)
    metrics = [config_pb2.MetricConfig(class_name="ExampleCount")]
    for class_name, name in _CURVES.items():
        metric = _metric(class_name, name)
        if name in limits:  # on the overall slice alone: slices by source hold a single class each
            metric.per_slice_thresholds.append(_threshold(config_pb2.SlicingSpec(), limits[name]))
        metrics.append(metric)
    return config_pb2.EvalConfig(
        model_specs=[model],
        slicing_specs=[config_pb2.SlicingSpec(), config_pb2.SlicingSpec(feature_keys=[names.SOURCE])],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metrics)],
    )


def _metric(class_name: str, name: str) -> config_pb2.MetricConfig:
    return config_pb2.MetricConfig(class_name=class_name, config=f'"name": "{name}", "num_thresholds": {_THRESHOLDS}')


def _threshold(slicing: config_pb2.SlicingSpec, minimum: float) -> config_pb2.PerSliceMetricThreshold:
    bound = config_pb2.GenericValueThreshold(lower_bound={"value": minimum})
    return config_pb2.PerSliceMetricThreshold(
        slicing_specs=[slicing], threshold=config_pb2.MetricThreshold(value_threshold=bound)
    )
