"""What a request to Kubeflow Pipelines may look like: bodies by the models of kfp_server_api, filters, pages."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import kfp_server_api
from dateutil.parser import isoparse

Item = dict[str, Any]

FILTERED = {
    "experiments": ("experiment_id", "display_name", "created_at", "storage_state", "namespace"),
    "pipelines": ("pipeline_id", "display_name", "name", "created_at", "namespace"),
    "pipeline_versions": ("pipeline_version_id", "display_name", "name", "created_at"),
    "runs": ("run_id", "display_name", "created_at", "finished_at", "state", "storage_state"),
    "recurring_runs": ("recurring_run_id", "display_name", "created_at", "status"),
}
IDENTIFIERS = {
    "experiments": "experiment_id",
    "pipelines": "pipeline_id",
    "pipeline_versions": "pipeline_version_id",
    "runs": "run_id",
    "recurring_runs": "recurring_run_id",
}
# Numbers of the operations: https://github.com/kubeflow/pipelines/blob/master/backend/api/v2beta1/filter.proto
OPERATIONS = {
    1: "EQUALS",
    2: "NOT_EQUALS",
    3: "GREATER_THAN",
    5: "GREATER_THAN_EQUALS",
    6: "LESS_THAN",
    7: "LESS_THAN_EQUALS",
    8: "IN",
    9: "IS_SUBSTRING",
}


class RefusedError(Exception):
    """What is answered with an HTTP status and a google.rpc.Status."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


def checked(model: str, value: Any) -> Item:
    """Checks a value against a model of kfp_server_api, whole: unknown fields, types, enumerations."""
    _check(model, value, model)
    return value


def _check(kind: str, value: Any, where: str) -> Any:
    simple = {"str": str, "int": int, "bool": bool, "float": float}
    wrong = RefusedError(400, f"Invalid input error: {where}: expected {kind}, got {value!r}")
    if kind == "object":
        return value
    if kind in simple:
        if type(value) is not simple[kind]:
            raise wrong
        return value
    if kind == "datetime":
        return isoparse(value)
    if found := re.fullmatch(r"list\[(.+)\]", kind):
        if not isinstance(value, list):
            raise wrong
        return [_check(found[1], item, f"{where}[{number}]") for number, item in enumerate(value)]
    if found := re.fullmatch(r"dict\(str, (.+)\)", kind):
        if not isinstance(value, dict):
            raise wrong
        return {key: _check(found[1], item, f"{where}.{key}") for key, item in value.items()}
    model = getattr(kfp_server_api, kind)
    if hasattr(model, "allowable_values"):
        if value not in model.allowable_values:
            raise wrong
        return value
    if not isinstance(value, dict):
        raise wrong
    attributes = {name: attribute for attribute, name in model.attribute_map.items()}
    unknown = set(value) - set(attributes)
    if unknown:
        raise RefusedError(400, f"Invalid input error: {where}: unknown fields {sorted(unknown)}")
    types = model.openapi_types
    return model(
        **{attributes[name]: _check(types[attributes[name]], item, f"{where}.{name}") for name, item in value.items()}
    )


def require_spec(spec: Any) -> None:
    """Refuses what is no pipeline spec."""
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    try:
        json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
    except json_format.ParseError as error:
        raise RefusedError(400, f"Invalid input error: invalid v2 pipeline spec: {error}") from error


def matcher(text: str, keys: tuple[str, ...]) -> Callable[[Item], bool]:
    """Makes a test of a JSON-serialized filter; all predicates must hold."""
    if not text:
        return lambda item: True
    body = json.loads(re.sub(r'"(\w+)":', lambda name: f'"{_snake(name[1])}":', text))
    for predicate in body.get("predicates", []):
        predicate["operation"] = OPERATIONS.get(predicate["operation"], predicate["operation"])
        if predicate["key"] not in keys:
            raise RefusedError(400, f"Invalid input error: no support for filtering on {predicate['key']}")
    checked("V2beta1Filter", body)
    compare: dict[str, Callable[[Any, Any], bool]] = {
        "EQUALS": lambda found, wanted: found == wanted,
        "NOT_EQUALS": lambda found, wanted: found != wanted,
        "GREATER_THAN": lambda found, wanted: found > wanted,
        "GREATER_THAN_EQUALS": lambda found, wanted: found >= wanted,
        "LESS_THAN": lambda found, wanted: found < wanted,
        "LESS_THAN_EQUALS": lambda found, wanted: found <= wanted,
        "IN": lambda found, wanted: found in wanted["values"],
        "IS_SUBSTRING": lambda found, wanted: wanted in found,
    }

    def holds(item: Item, predicate: Item) -> bool:
        wanted = next(value for name, value in predicate.items() if name.endswith(("_value", "_values")))
        return compare[predicate["operation"]](item.get(predicate["key"], ""), wanted)

    return lambda item: all(holds(item, predicate) for predicate in body.get("predicates", []))


def _snake(name: str) -> str:
    return re.sub(r"([A-Z])", lambda letter: f"_{letter[1].lower()}", name)


def place(item: Item, kind: str) -> tuple[str, str]:
    return item["created_at"], item[IDENTIFIERS[kind]]


def page(items: list[Item], kind: str, query: dict[str, str]) -> Item:
    """Cuts a page: 20 items if nothing is said, 200 at most; the token knows the filter it belongs to."""
    size = min(int(query.get("page_size") or 0) or 20, 200)
    same = {"filter": query.get("filter", ""), "sort_by": query.get("sort_by", "")}
    begin = 0
    if query.get("page_token"):
        token = json.loads(base64.b64decode(query["page_token"]))
        if {name: token[name] for name in same} != same:
            raise RefusedError(
                400, "Invalid input error: page token does not match the supplied sort by and/or filtering"
            )
        begin = sum(place(item, kind) < tuple(token["next"]) for item in items)
    key = "recurringRuns" if kind == "recurring_runs" else kind  # as the interface has it
    answer: Item = {key: items[begin : begin + size], "total_size": len(items)}
    if begin + size < len(items):
        token = {**same, "next": place(items[begin + size], kind)}
        answer["next_page_token"] = base64.b64encode(json.dumps(token).encode()).decode()
    return answer
