"""Signals where a command is the first process of a container."""

import os
import signal
import sys
from types import FrameType

_TERMINATED = 128 + signal.SIGTERM  # how a shell reports a process that the signal ended


def end_when_told() -> None:
    """Ends this process on SIGTERM even as process 1, for which the kernel drops signals without a handler.

    Without it a pod that is stopped waits out its whole grace period. Commands that end in their own way (serving) set
    a handler of their own afterwards.
    """
    if os.getpid() == 1:
        signal.signal(signal.SIGTERM, _end)


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(_TERMINATED)
