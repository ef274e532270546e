"""YAML of configurations: scalars by YAML 1.2's core schema, no key twice, no code, bounded aliases.

PyYAML reads YAML 1.1, in which `1e-3` is text, `off` and `no` are false, `0:30` is a number of minutes and the last of
two equal keys wins in silence. Merge keys (`<<`), which YAML 1.2 has no word on, are read.

Source: YAML 1.2.2, section 10.3 (https://yaml.org/spec/1.2.2/#103-core-schema).
"""

import re
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import yaml

_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_MERGE = re.compile(r"^<<$")
_RESOLVERS = (  # tag, pattern, first characters; an integer is a float's pattern too, so it comes first
    ("null", _NULL, ["~", "n", "N", ""]),
    ("bool", _BOOL, list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
    ("merge", _MERGE, ["<"]),
)

# A configuration has some hundred values. Aliases can make a short file into more than fits in memory.
_MOST_VALUES = 20_000
_DEEPEST = 50


class YamlTextError(ValueError):
    """Text that cannot be read; one problem a line."""


class WrittenInt(int):
    """An integer that remembers how it was written, for keys that want text: a source may be called 007."""

    text: str


class WrittenFloat(float):
    """A number that remembers how it was written, as `WrittenInt`."""

    text: str


def as_text(value: Any) -> Any:
    """Return a number that was read from YAML as the text that stands there; anything else as it is."""
    return value.text if isinstance(value, WrittenInt | WrittenFloat) else value


def read_yaml(text: str) -> Any:
    """Read one YAML document.

    Args:
        text: The document.

    Returns:
        Plain values; numbers are WrittenInt or WrittenFloat.

    Raises:
        YamlTextError: If it is not YAML, holds a tag that is no plain value's, a key twice, or aliases that refer to
            themselves or stand for too much.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise YamlTextError(f"is not YAML: {error}") from error
    except RecursionError as error:
        raise YamlTextError(f"is nested deeper than {_DEEPEST} levels. Write it flatter.") from error


def read_value(text: str) -> Any:
    """Read the value of an override, e.g. of `--set key=value`.

    Args:
        text: A number, true, false, null (also empty), text in quotes, a list or a mapping; whatever is none of these
            is text, taken as it is: a # begins no comment.

    Raises:
        YamlTextError: If it begins as a list or a mapping and is none.
    """
    stripped = text.strip()
    if any(pattern.match(stripped) for pattern in (_NULL, _BOOL, _INT, _FLOAT)):
        return read_yaml(stripped)
    if stripped[0] in "[{":
        return _read_collection(stripped)
    try:
        value = read_yaml(stripped) if "#" not in stripped or stripped[0] in "\"'" else text
    except YamlTextError as error:
        if "is given at line" in str(error):
            raise
        return text
    quoted = stripped[0] in "\"'" and stripped[-1] == stripped[0]
    return value if isinstance(value, dict | list) or quoted else text


def write_yaml(values: Mapping[str, Any]) -> str:
    """Write plain values as YAML that readers of YAML 1.1 and 1.2 read alike."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False)


def _read_collection(text: str) -> Any:
    value = read_yaml(text)
    node = yaml.compose(text, Loader=_Loader)
    end = len(text) if node is None else node.end_mark.index
    if end < len(text):
        raise YamlTextError(f"is not YAML: {text[end:].strip()!r} follows the value. Put quotes around the whole.")
    return value


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 (the base class declares it so)

    def get_single_data(self) -> Any:
        """Read the document, after a check of what would be made of it."""
        node = self.get_single_node()
        if node is None:
            return None
        problems: list[str] = []
        _check(node, self.construct_object, problems)
        if problems:
            raise YamlTextError("\n".join(problems))
        return self.construct_document(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Make a value of a node; PyYAML lets errors of its own escape where a tag does not fit (`!!bool maybe`)."""
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError) as error:
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            problem = f"no {tag}: leave the tag out, or correct the value"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from error

    def construct_int(self, node: yaml.ScalarNode) -> WrittenInt:
        digits = node.value
        base = {"0o": 8, "0x": 16}.get(digits[:2].lower(), 10)
        try:
            value = WrittenInt(digits, base)
        except ValueError as error:  # an explicit !!int, or more digits than Python reads
            raise yaml.constructor.ConstructorError(None, None, f"no number: {error}", node.start_mark) from error
        value.text = digits
        return value

    def construct_float(self, node: yaml.ScalarNode) -> WrittenFloat:
        try:
            value = WrittenFloat(re.sub(r"\.(inf|nan)$", r"\1", node.value.lower()))
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, f"no number: {error}", node.start_mark) from error
        value.text = node.value
        return value


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.construct_float)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes text which YAML 1.1 or YAML 1.2 would take for something else."""


for _tag, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, _first)
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _pattern, _first)


def _check(root: yaml.Node, value_of: Callable[[yaml.Node], Any], problems: list[str]) -> None:
    """Collect keys that stand twice; refuse aliases that refer to themselves or stand for too much."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, path: tuple[str, ...], above: tuple[int, ...]) -> int:
        if id(node) in above:
            raise YamlTextError(f"{_line(node)}: the alias refers to what it stands in. Write the value out.")
        if len(above) > _DEEPEST:
            raise RecursionError
        if id(node) not in sizes:
            total = 1
            if isinstance(node, yaml.MappingNode):
                _check_keys(node, value_of, path, problems)
                for key, value in node.value:
                    total += size(key, path, (*above, id(node))) + size(
                        value, (*path, str(key.value)), (*above, id(node))
                    )
            elif isinstance(node, yaml.SequenceNode):
                total += sum(size(item, path, (*above, id(node))) for item in node.value)
            sizes[id(node)] = total
        if sizes[id(node)] > _MOST_VALUES:
            raise YamlTextError(f"{_line(node)}: holds more than {_MOST_VALUES:,} values, aliases written out.")
        return sizes[id(node)]

    size(root, (), ())


def _check_keys(
    node: yaml.MappingNode, value_of: Callable[[yaml.Node], Any], path: tuple[str, ...], problems: list[str]
) -> None:
    first: dict[Hashable, yaml.Node] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag.endswith(":merge"):
            continue
        earlier = first.setdefault(value_of(key), key)  # 1, 0x1 and 1.0 are one key, however they are written
        if earlier is not key:
            problems.append(
                f"{'.'.join((*path, key.value))}: is given at {_line(earlier)} and again at {_line(key)}. Keep one."
            )


def _line(node: yaml.Node) -> str:
    return f"line {node.start_mark.line + 1}"
