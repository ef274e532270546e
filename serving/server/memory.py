"""Keeping the process from growing by memory that it has freed."""

import ctypes
import logging

_LOGGER = logging.getLogger(__name__)

_M_ARENA_MAX = -8  # glibc's malloc.h
_ARENAS = 2


def bound_arenas() -> None:
    """Lets the C library share two heaps among all threads, instead of making up to eight a core.

    Each heap keeps what was freed in it for later. Images of 64 megapixels that are decoded in one thread after the
    other would leave their 200 MB in every one of them. Must be called before threads are started; does nothing where
    the C library is not glibc.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    if not mallopt(_M_ARENA_MAX, _ARENAS):
        _LOGGER.warning("mallopt: the number of heaps cannot be bounded; memory may stay with the process longer.")
