"""What is wrong with a configuration, in a sentence: the field, the rule, the value received, and the fix."""

import re
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from pipeline.config.paths import HOME_ERROR, PATTERN_ERROR

_FIXES = {
    "extra_forbidden": "Remove it, or correct its spelling; keys here: {keys}.",
    "missing": "Add it.",
    "int_type": "Write a whole number without quotes, signs between digits or a unit.",
    "float_type": "Write a number without quotes, signs between digits or a unit.",
    "string_type": "Write text; put quotes around it if it looks like a number.",
    "bool_type": "Write true or false.",
    "literal_error": "Choose one of these.",
    "list_type": "Write a list: [first, second], or one '- item' a line.",
    "tuple_type": "Write a list: [first, second], or one '- item' a line.",
    "greater_than": "Raise it.",
    "greater_than_equal": "Raise it.",
    "less_than": "Lower it.",
    "less_than_equal": "Lower it.",
    "string_too_short": "Write a name.",
    "string_too_long": "Shorten it.",
    PATTERN_ERROR: "Rename the directory, or reach it by a link without such characters.",
    HOME_ERROR: "Write the whole path, from / on.",
    "model_type": "Write a mapping of keys to values.",
}


def sentence(problem: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Turns one of pydantic's problems into field, rule, value and fix."""
    location = ".".join(str(part) for part in problem["loc"])
    kind, message = problem["type"], problem["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        message = "is not a key"
    elif kind == "missing":
        message = "is required"
    rule = re.sub(r"^Input should be ", "must be ", message).replace("a valid tuple", "a list")
    received = "" if kind == "missing" or not location else f", got {problem['input']!r}"
    if not location:  # rules over several fields name them, and what to do, themselves
        return rule if rule.endswith(".") else f"{rule}."
    if kind == "string_type" and problem["input"] is None:
        return f"{location}: {rule}{received}. Write text; nothing, null and ~ stand for no value."
    fix = _FIXES.get(kind, "Correct the value.").format(keys=", ".join(_keys_beside(problem["loc"], model)))
    return f"{location}: {rule}{received}. {fix}"


def _keys_beside(location: tuple[Any, ...], root: type[BaseModel]) -> list[str]:
    """Returns the keys that are allowed where an unknown one was found."""
    model: Any = root
    for part in location[:-1]:
        if get_origin(model) is tuple:  # tuple[Item, ...]: the part is a place in a list
            model = get_args(model)[0]
        elif get_origin(model) is dict:  # dict[str, Item]: the part is a key
            model = get_args(model)[1]
        else:
            model = model.model_fields[part].annotation
    return sorted(getattr(model, "model_fields", ()))
