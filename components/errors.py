"""Errors by which a step stops a run on purpose."""


class StepRefusedError(Exception):
    """A step looked at its inputs and refused to go on; the message tells people what was wrong and what to do.

    Runners show the message alone, without the traceback: nothing is broken in the code.
    """
