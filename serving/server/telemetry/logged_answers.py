"""From the arrays of an answered request to rows of the request log."""

from collections.abc import Mapping

import numpy as np

from serving import contract
from serving.request_log.entries import Answered
from serving.request_log.options import RequestLogOptions
from serving.request_log.writer import OUTCOMES, RequestLog
from serving.servable.model import Prediction
from serving.server.telemetry.metrics import ServerMetrics


class LoggedAnswers:
    """Logs a share of what is answered for encoded images.

    Requests that hold tf.Examples are not logged: they come from pipelines, not from the world.

    Args:
        log: where to.
    """

    def __init__(self, log: RequestLog) -> None:
        self._log = log

    def answered(self, model: str, version: int, inputs: Mapping[str, np.ndarray], outputs: Prediction) -> None:
        """Offers the rows that chance takes. Costs microseconds, and never fails a request.

        Args:
            model: the model's name.
            version: the version that answered.
            inputs, outputs: arrays, the batch first.
        """
        encoded = inputs.get(contract.INPUT_IMAGE_BYTES)
        if encoded is None or contract.OUTPUT_VERDICT not in outputs:
            return
        for row in range(len(encoded)):
            if self._log.chosen():
                try:
                    answer = _row(model, version, outputs, row)
                except (KeyError, ValueError, UnicodeDecodeError) as error:
                    self._log.failed(1, error)
                else:
                    self._log.offer(encoded[row], answer)

    def close(self) -> None:
        """Logs what still waits."""
        self._log.close()


def log_answers(options: RequestLogOptions | None, metrics: ServerMetrics) -> LoggedAnswers | None:
    """Starts a request log; None without options.

    Raises:
        OSError: if nothing can be written where it should be.
    """
    if options is None:
        return None
    for outcome in OUTCOMES:
        metrics.logged(outcome, 0)
    return LoggedAnswers(RequestLog(options, metrics.logged))


def _row(model: str, version: int, outputs: Prediction, row: int) -> Answered:
    names = [name.decode("utf-8") for name in outputs[contract.OUTPUT_SOURCE_NAMES][row].tolist()]
    return Answered(
        model=model,
        version=version,
        fake_probability=_rounded(outputs[contract.OUTPUT_FAKE_PROBABILITY][row]),
        source_probabilities=dict(
            zip(names, map(_rounded, outputs[contract.OUTPUT_SOURCE_PROBABILITIES][row]), strict=True)
        ),
        verdict=outputs[contract.OUTPUT_VERDICT][row].decode("utf-8"),
    )


def _rounded(probability: np.float32) -> float:
    return round(float(probability), 6)
