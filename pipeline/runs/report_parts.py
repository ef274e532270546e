"""Parts of a report that cannot be made: the report names them, and the other parts are there."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from pipeline.report.data import RunReport
from pipeline.report.run import write_report
from serving.names import safe_text, shortened

_P = ParamSpec("_P")
_Part = TypeVar("_Part")
_LOGGER = logging.getLogger(__name__)
_LONGEST_REASON = 500

# Parts that a report may lack, by what people call them.
_OPTIONAL: tuple[tuple[str, dict[str, Any]], ...] = (
    ("data", {"data": None}),
    ("models", {"models": []}),
    ("verdicts", {"confusion": None}),
    ("perturbed copies", {"copies": ()}),
    ("unknown generators", {"open_set": None}),
    ("comparison with baselines", {"baselines": (), "combined": None}),
)


@dataclass
class Parts:
    """Parts of one report.

    Attributes:
        missing: A sentence for each part that could not be made.
    """

    missing: list[str] = field(default_factory=list)

    def make(
        self, name: str, default: _Part, function: Callable[_P, _Part], *args: _P.args, **kwargs: _P.kwargs
    ) -> _Part:
        """Make one part; if that fails, note why and return the default.

        Whatever fails here must not take the place of the error that ended the run.
        """
        try:
            return function(*args, **kwargs)
        except Exception as error:  # the state of a run that failed is anything
            _LOGGER.info("part %s of the report cannot be made", name, exc_info=True)
            self.missing.append(problem(name, error))
            return default


def problem(name: str, error: Exception) -> str:
    """Return the sentence on a part that cannot be made."""
    reason = shortened(safe_text(f"{type(error).__name__}: {error}"), _LONGEST_REASON)
    return f"{name}: could not be made: {reason}"


def write_what_can_be_shown(report: RunReport, path: Path) -> RunReport:
    """Write a report, without the part that cannot be shown if there is one.

    Args:
        report: Facts of the run.
        path: HTML file.

    Returns:
        The report that was written.

    Raises:
        OSError: If the file cannot be written.
    """
    try:
        write_report(report, path)
    except OSError:
        raise
    except Exception as error:  # a view refuses what a damaged file holds
        _LOGGER.info("the report cannot be shown whole", exc_info=True)
        return _write_without(report, path, error)
    return report


def _write_without(report: RunReport, path: Path, error: Exception) -> RunReport:
    every = {name: value for _, part in _OPTIONAL for name, value in part.items()}
    for name, part in (*_OPTIONAL, ("all but the outcome", every)):
        lesser = replace(report, **part, missing=[*report.missing, problem(name, error)])
        try:
            write_report(lesser, path)
        except OSError:
            raise
        except Exception:  # another part is at fault, or several are
            _LOGGER.info("the report cannot be shown without %s either", name, exc_info=True)
            continue
        return lesser
    raise error
