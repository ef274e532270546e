"""Start-up of a process: environment, logging, signals, and imports that cost less.

By `importing`, a process that imports what `genattr run` does and exits takes 5.0 s of CPU instead of 8.2 s (medians of
seven, alternating): without `gc.freeze` it takes 2.5 s more, with the collector at work 0.5 s more, and without
postponed modules 0.6 s more.
"""

import contextlib
import gc
import importlib.machinery
import importlib.util
import logging
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType, ModuleType

from serving.names import safe_text, shortened

_LOG_FORMAT = "%(levelname)s %(name)s: %(message)s"
_TERMINATED = 128 + signal.SIGTERM  # how a shell reports a process that the signal ended

# Module -> who imports it, and what for. Only modules that their importers bind and leave alone can be postponed; of a
# package that is itself in use, the narrowest module that imports the rest.
POSTPONED = {
    "IPython": "keras.src.saving.file_editor, to show files in notebooks",
    "keras.wrappers": "keras, for scikit-learn's interface",
    "matplotlib.pyplot": "keras.src.visualization, for image galleries",
    "tfx.components.infra_validator.model_server_runners.kubernetes_runner": "tfx.components, with kubernetes' client",
}


def open_standard_streams() -> None:
    """Open standard streams that whoever started this process closed (`<&-`, `>&-`, some schedulers), on nothing.

    Python has None for them then, and the next file that is opened takes their number: what native code writes to
    standard error would end in it.
    """
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))


def settle_environment() -> None:
    """Choose Keras 3 and fast kernels, and silence native code. Call it before anything imports TensorFlow.

    A terminal of no width (`COLUMNS=0`, as some without a size have it) is one whose width is not known: nothing would
    be written into it, not even errors.
    """
    for size in ("COLUMNS", "LINES"):
        if os.environ.get(size, "").strip("0") == "":
            os.environ.pop(size, None)
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
    # On processors without AVX-512 TensorFlow leaves these off, though convolutions are three times as fast with them.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def quiet_libraries(verbose: bool) -> None:
    """Log errors only; with `verbose`, information of every library.

    The threshold is the handler's, because some libraries set levels of their own on their loggers.
    """
    level = logging.INFO if verbose else logging.ERROR
    logging.basicConfig(format=_LOG_FORMAT, level=level)
    for handler in logging.getLogger().handlers:
        handler.setLevel(level)
        if not verbose:
            handler.setFormatter(_BriefFormatter(_LOG_FORMAT))
        handler.addFilter(_without_connection)
    if not verbose:
        warnings.simplefilter("ignore")


class _BriefFormatter(logging.Formatter):
    """Formatter without tracebacks, and without the data that libraries put into their errors."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record: its message alone, at most some thousand characters of it."""
        brief = logging.makeLogRecord({**vars(record), "exc_info": None, "exc_text": None, "stack_info": None})
        return safe_text(shortened(super().format(brief)))


def _without_connection(record: logging.LogRecord) -> bool:
    """Drop what TFX's runners log of their connection to the metadata store: it holds the password."""
    return not str(record.msg).startswith(("Using connection config", "Using deployment config"))


def import_tensorflow(verbose: bool) -> None:
    """Import TensorFlow, whose native code writes a few lines on loading that no setting turns off.

    Args:
        verbose: Whether to show these lines.
    """
    with importing(), contextlib.nullcontext() if verbose else _native_stderr_closed():
        import tensorflow  # noqa: F401 (the import is the point)
        import tensorflow_transform  # noqa: F401


@contextlib.contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Redirect file descriptor 2, where native code writes, to nowhere."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 (a device, not a file)
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


class PostponingFinder:
    """Meta path finder that postpones the execution of the modules of POSTPONED, and leaves all others to Python.

    Keras and TFX import notebooks, plots, scikit-learn and a client of Kubernetes for features that our runs never
    touch. The standard library's LazyLoader puts such a module into `sys.modules` at once and executes it on the first
    access to one of its attributes, from whatever thread; `from module import name` is such an access.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module, as `importlib.abc.MetaPathFinder.find_spec` does.

        Args:
            name: Dotted name of the module.
            path: Search path of its package; None at the top level.
            target: A module that is reloaded: it is in use, and so not postponed.

        Returns:
            The module's spec with a lazy loader; None if it is not one of POSTPONED, or not installed.
        """
        if name not in POSTPONED or target is not None:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is None or spec.loader is None:
            return None
        spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def postpone_unused() -> None:
    """Postpone the modules of POSTPONED in this process from now on. Calling it again changes nothing."""
    if PostponingFinder not in sys.meta_path:
        sys.meta_path.insert(0, PostponingFinder)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Postpone unused modules and stop the garbage collector while the context is open, for many imports at once.

    Modules make millions of objects, and all of them stay: the collector would traverse them again and again. When the
    context ends, `gc.freeze` exempts them from later collections too, and from the last one at exit.
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


def end_on_sigterm() -> None:
    """End this process on SIGTERM even as process 1, for which the kernel drops signals without a handler.

    Without it a pod that is stopped waits out its whole grace period. Commands that end in their own way (serving) set
    a handler of their own afterwards.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(_TERMINATED)
