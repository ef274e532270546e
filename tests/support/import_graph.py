"""The import graph of our own packages, read from the source; nothing is imported."""

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

Graph = Mapping[str, set[str]]


class ImportGraph:
    """Modules of some packages and the imports between them, those inside functions included.

    Args:
        root: Directory that holds the packages.
        packages: Names of the packages.

    Attributes:
        files: Dotted module name -> file; a package stands for its `__init__.py`.
        modules: Module -> modules of these packages that it imports.
    """

    def __init__(self, root: Path, packages: Iterable[str]) -> None:
        found = (file for package in packages for file in sorted((root / package).rglob("*.py")))
        self.files = {module_name(file, root): file for file in found}
        self.modules = {module: set(self._ours(file)) - {module} for module, file in self.files.items()}

    @property
    def rooms(self) -> dict[str, set[str]]:
        """Directory, as a dotted name -> directories that its modules import from."""
        graph: dict[str, set[str]] = {}
        for module, imported in self.modules.items():
            room = self.room_of(module)
            graph.setdefault(room, set()).update({self.room_of(other) for other in imported} - {room})
        return graph

    def room_of(self, module: str) -> str:
        """Return the directory of a module as a dotted name."""
        return module if self.files[module].name == "__init__.py" else module.rpartition(".")[0]

    def arrows(self, origin: str, *targets: str) -> list[str]:
        """Return "module -> module" for every import from below `origin` to below one of `targets`."""
        return [
            f"{module} -> {other}"
            for module, imported in self.modules.items()
            if is_below(module, origin)
            for other in sorted(imported)
            if is_below(other, *targets)
        ]

    def _ours(self, file: Path) -> Iterator[str]:
        for imported in imports(file):
            name = imported
            while name and name not in self.files:  # `from package import function` names something inside a module
                name = name.rpartition(".")[0]
            if name:
                yield name


def module_name(file: Path, root: Path) -> str:
    """Return the dotted name of a file."""
    return ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imports(file: Path) -> Iterator[str]:
    """Yield every module that a file imports, anywhere in it; `from a import b` as a.b."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: relative imports hide the arrows"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_below(name: str, *prefixes: str) -> bool:
    """Return whether a module is one of `prefixes` or inside one of them."""
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def cycles(graph: Graph) -> list[list[str]]:
    """Return every group of nodes that reach each other, sorted.

    Source: Tarjan 1972, "Depth-first search and linear graph algorithms": strongly connected components.
    """
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = lowest[node] = len(order)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in order:
                visit(other)
            if other in stack:
                lowest[node] = min(lowest[node], lowest[other])
        if lowest[node] == order[node]:
            start = stack.index(node)
            components.append(sorted(stack[start:]))
            del stack[start:]

    for node in sorted(graph):
        if node not in order:
            visit(node)
    return sorted(component for component in components if len(component) > 1)
