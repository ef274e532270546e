"""The fields of KServe's InferenceService that we use, as a schema that refuses all others.

Written from KServe's API reference, https://kserve.github.io/website/docs/reference/crd-api (v1beta1): a predictor is a
PodSpec, inline, with ComponentExtensionSpec (replicas, timeout, ...) and a model, which is a Container with
modelFormat, runtimeVersion, storageUri and protocolVersion. What is a PodSpec is held to Kubernetes' own schema, by
putting it into a Pod.
"""

import jsonschema

_COMPONENT_FIELDS = {
    "minReplicas": {"type": "integer", "minimum": 0},
    "maxReplicas": {"type": "integer", "minimum": 1},
    "scaleTarget": {"type": "integer"},
    "scaleMetric": {"enum": ["cpu", "memory", "concurrency", "rps"]},
    "containerConcurrency": {"type": "integer", "minimum": 0},
    "timeout": {"type": "integer", "minimum": 1},
    "canaryTrafficPercent": {"type": "integer", "minimum": 0, "maximum": 100},
    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
}
_MODEL_FIELDS = {
    "modelFormat": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "version": {"type": "string"}},
        "required": ["name"],
        "additionalProperties": False,
    },
    "runtime": {"type": "string"},
    "runtimeVersion": {"type": "string"},
    "storageUri": {"type": "string", "pattern": "^(pvc|gs|s3|https?|oci|hf)://"},
    "protocolVersion": {"enum": ["v1", "v2", "grpc-v1", "grpc-v2"]},
}
_OUTER = {
    "type": "object",
    "properties": {
        "apiVersion": {"const": "serving.kserve.io/v1beta1"},
        "kind": {"const": "InferenceService"},
        "metadata": {"type": "object", "required": ["name"]},
        "spec": {
            "type": "object",
            "properties": {
                "predictor": {
                    "type": "object",
                    "properties": {
                        **_COMPONENT_FIELDS,
                        "model": {"type": "object", "properties": _MODEL_FIELDS, "required": ["modelFormat"]},
                    },
                    "required": ["model"],
                }
            },
            "required": ["predictor"],
            "additionalProperties": False,
        },
    },
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "additionalProperties": False,
}


def checked_pod(service: dict) -> dict:
    """Checks what is KServe's own, and returns the rest as the Pod that KServe makes of it.

    Args:
        service: an InferenceService.

    Returns:
        A Pod of predictor and model, for Kubernetes' own schema: it refuses what neither KServe nor Kubernetes has.

    Raises:
        jsonschema.ValidationError: naming the field.
    """
    jsonschema.validate(service, _OUTER, cls=jsonschema.Draft202012Validator)
    predictor = dict(service["spec"]["predictor"])
    model = {key: value for key, value in predictor.pop("model").items() if key not in _MODEL_FIELDS}
    spec = {key: value for key, value in predictor.items() if key not in _COMPONENT_FIELDS}
    # KServe's runtime brings name and image of the container.
    container = {"name": "kserve-container", "image": "tensorflow/serving:2.19.1", **model}
    metadata = {"name": service["metadata"]["name"], "labels": service["metadata"].get("labels", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**spec, "containers": [container]}}
