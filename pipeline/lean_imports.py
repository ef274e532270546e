"""Cheaper imports: what libraries import and we do not use waits until somebody does; no garbage is sought meanwhile.

Keras and TFX import notebooks, plots, scikit-learn and a client of Kubernetes, each with hundreds of modules, for
features that our runs never touch. Such a module is put off with the standard library's LazyLoader: it stands in
`sys.modules` at once and is executed on the first access to one of its attributes, from whatever thread, so that
whoever does use it notices nothing. A `from module import name` is such an access.
"""

import contextlib
import gc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType

# Module -> who imports it, and what for. Only those that their importers bind and leave alone can wait; of a package
# that is itself in use, the narrowest module that pulls in the rest.
POSTPONED = {
    "IPython": "keras.src.saving.file_editor, to show files in notebooks",
    "keras.wrappers": "keras, for scikit-learn's interface",
    "matplotlib.pyplot": "keras.src.visualization, for image galleries",
    "tfx.components.infra_validator.model_server_runners.kubernetes_runner": "tfx.components, with kubernetes' client",
}


class PostponingFinder:
    """Finds the modules of POSTPONED, and gives them a loader that waits. All others are left to Python."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Finds a module, as `importlib.abc.MetaPathFinder.find_spec` does.

        Args:
            name: of the module, dotted.
            path: of its package; None at the top level.
            target: a module that is reloaded; it is in use, and so not put off.

        Returns:
            Where the module is, to be executed on first use; None if it is not one of POSTPONED, or not installed.
        """
        if name not in POSTPONED or target is not None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def postpone_unused() -> None:
    """Puts off the modules of POSTPONED in this process from now on. Calling it again changes nothing."""
    if PostponingFinder not in sys.meta_path:
        sys.meta_path.insert(0, PostponingFinder)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Many imports at once, with unused modules put off.

    Python's garbage collector looks through all objects again and again as modules make millions of them, none of which
    goes: it rests meanwhile. What was imported stays for good, and is not looked through later either (`gc.freeze`).
    """
    postpone_unused()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
