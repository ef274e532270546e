"""Keeping the libraries' chatter off the terminal, unless somebody asks for it."""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator

from pipeline.lean_imports import importing


def settle_environment() -> None:
    """Keras 3 for everybody, fast kernels, and no start-up chatter. Call it before anything imports TensorFlow."""
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
    # On processors without AVX-512 TensorFlow leaves these off, though convolutions are three times as fast with them.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def quiet_libraries(verbose: bool) -> None:
    """Shows errors only; with `verbose`, information of every library.

    The threshold is the handler's, because some libraries set levels of their own on their loggers.
    """
    level = logging.INFO if verbose else logging.ERROR
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s", level=level)
    for handler in logging.getLogger().handlers:
        handler.setLevel(level)
        handler.addFilter(_without_connection)
    if not verbose:
        warnings.simplefilter("ignore")


def _without_connection(record: logging.LogRecord) -> bool:
    """Leaves out what TFX's runners say of their connection to the metadata store: its password is among it."""
    return not str(record.msg).startswith(("Using connection config", "Using deployment config"))


def import_tensorflow(verbose: bool) -> None:
    """Imports TensorFlow, whose native code writes a few lines on loading that no setting turns off.

    Args:
        verbose: lets them through.
    """
    with importing(), contextlib.nullcontext() if verbose else _native_stderr_closed():
        import tensorflow  # noqa: F401 (the import is the point)
        import tensorflow_transform  # noqa: F401


@contextlib.contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Points file descriptor 2 elsewhere, where native code writes."""
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 (a device, not a file)
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
