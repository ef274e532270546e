"""Which anomalies of a dataset matter, in words that people can act on.

Pure functions over TFDV's protos. TFDV compares the statistics of every split with a schema that was inferred from the
train split. Features that name single images (path) or carry what only some files have (format) may differ between
splits; anything else that differs would be learnt, or would break training.
"""

from collections.abc import Mapping

from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.examples import names

# New strings in these are expected: each image has its own path, and a rare format, colour mode, compression or
# combination of perturbations may fall into one split alone.
_FREE_STRINGS = (names.PATH, names.FORMAT, names.COLOUR_MODE, names.COMPRESSION, names.PERTURBATION)
_UNEXPECTED_STRING = anomalies_pb2.AnomalyInfo.ENUM_TYPE_UNEXPECTED_STRING_VALUES


def schema_findings(split: str, anomalies: anomalies_pb2.Anomalies) -> list[str]:
    """Returns a sentence for each schema anomaly that matters.

    Args:
        split: name of the split.
        anomalies: TFDV's comparison of the split's statistics with the schema.
    """
    findings = []
    if anomalies.HasField("dataset_anomaly_info"):
        findings.append(f"split '{split}': {anomalies.dataset_anomaly_info.description}")
    for feature, info in sorted(anomalies.anomaly_info.items()):
        reasons = [reason for reason in info.reason if not _is_expected(feature, reason)]
        findings.extend(
            f"split '{split}': feature '{feature}': {reason.short_description.rstrip('.')}: {reason.description}"
            for reason in reasons
        )
    return findings


def content_findings(statistics: Mapping[str, statistics_pb2.DatasetFeatureStatistics]) -> list[str]:
    """Returns a sentence for each way in which the splits themselves cannot be learnt from.

    Args:
        statistics: split name -> TFDV's statistics of the split.
    """
    findings = []
    for split, dataset in sorted(statistics.items()):
        if not dataset.num_examples:
            findings.append(f"split '{split}': holds no image.")
            continue
        features = {feature.name or ".".join(feature.path.step): feature for feature in dataset.features}
        missing = [name for name in names.REQUIRED if name not in features]
        if missing:
            findings.append(f"split '{split}': feature {', '.join(missing)} is missing; prepare the dataset again.")
        if names.LABEL in features:
            findings.extend(_label_findings(split, features[names.LABEL].num_stats))
    return findings


def _label_findings(split: str, label: statistics_pb2.NumericStatistics) -> list[str]:
    if (label.min, label.max) == (0, 1):
        return []
    if label.min == label.max and label.min in (0, 1):
        kind, other = ("fake", "real") if label.min == 1 else ("real", "fake")
        return [f"split '{split}': holds only {kind} images; a detector needs {other} ones as well."]
    return [f"split '{split}': labels must be 0 (real) or 1 (fake), found values from {label.min:g} to {label.max:g}."]


def _is_expected(feature: str, reason: anomalies_pb2.AnomalyInfo.Reason) -> bool:
    return feature in _FREE_STRINGS and reason.type == _UNEXPECTED_STRING
