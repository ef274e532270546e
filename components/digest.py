"""A digest of the source code that a step runs, so that TFX's cache never serves the output of edited code.

TFX keys its cache on parameters and inputs, not on code: a step whose code was edited would be served from the cache.
Each of our steps therefore carries the digest of the modules it can reach, found by following import statements
through our own packages. An edit elsewhere leaves the digest, and so the cache, as it was.
"""

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("components", "serving")


def source_digest(*modules: str) -> str:
    """Digests the given modules and every module of ours that they import, directly or not.

    Args:
        modules: dotted names, e.g. "components.trainer.executor".

    Returns:
        16 hexadecimal digits.

    Raises:
        ValueError: if a module is not one of ours.
    """
    closure = import_closure(*modules)
    digest = hashlib.sha256()
    for name in sorted(closure):
        digest.update(name.encode() + b"\0" + closure[name].read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def import_closure(*modules: str) -> dict[str, Path]:
    """Returns the modules of ours that the given ones reach: dotted name -> file."""
    found: dict[str, Path] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = _file_of(name)
        if path is None:
            raise ValueError(f"module '{name}': is not in {' or '.join(_PACKAGES)}; only our own code is digested.")
        found[name] = path
        waiting.extend(imported for imported in _imports(path) if imported not in found)
    return found


def _imports(path: Path) -> Iterator[str]:
    """Yield the modules of ours that run when a file is imported, and those that its functions import."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            candidates = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from components.features import dct` may name a module or something inside one.
            candidates = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in candidates:
            parts = name.split(".")
            # An import runs the packages above a module as well.
            yield from filter(_file_of, (".".join(parts[:depth]) for depth in range(1, len(parts) + 1)))


def _file_of(module: str) -> Path | None:
    """Returns the file of a module of ours, None for anything else."""
    if module.split(".", maxsplit=1)[0] not in _PACKAGES:
        return None
    base = _ROOT.joinpath(*module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None
