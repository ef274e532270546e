"""Writing a request log beside the answers: a bounded queue and one thread, which never keep a request waiting.

Chance decides of each answered row before anything is done with it. What is chosen waits in the queue with its bytes;
the thread measures it and appends its line. A row for which there is no room is not logged, and counted.
"""

import hashlib
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from serving.request_log.columns import measure
from serving.request_log.entries import Answered, Entry
from serving.request_log.files import LogFiles
from serving.request_log.options import RequestLogOptions

_LOGGER = logging.getLogger(__name__)

# written; dropped: the queue was full; failed: it could not be measured or written.
Outcome = Literal["written", "dropped", "failed"]
OUTCOMES: tuple[Outcome, ...] = ("written", "dropped", "failed")

_ROWS_AT_A_TIME = 64  # whose lines are appended together
_SECONDS_BETWEEN_MESSAGES = 60.0


class _Waiting(NamedTuple):
    """A row that is to be logged."""

    time: datetime
    encoded: bytes
    answer: Answered


class RequestLog:
    """Logs a share of the rows. Every method may be called from any thread.

    Args:
        options: where, how much, within which limits.
        count: called with an outcome and a number of rows.
        patient: whether `offer` waits for room in the queue, as a client may and a server may not.

    Raises:
        OSError: if the folder cannot be written into.
    """

    def __init__(
        self, options: RequestLogOptions, count: Callable[[Outcome, int], None], patient: bool = False
    ) -> None:
        self._options = options
        self._count = count
        self._patient = patient
        self._files = LogFiles(options)
        self._chance = random.Random()  # noqa: S311 - a sample, not a secret
        self._changed = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._closed = False
        self._next_message = 0.0
        self._thread = threading.Thread(target=self._work, name="request-log", daemon=True)
        self._thread.start()

    def chosen(self) -> bool:
        """Whether chance takes one more row. Ask it before an `Answered` is made for a row that is not wanted."""
        return self._chance.random() < self._options.share

    def offer(self, encoded: bytes, answer: Answered) -> None:
        """Queues a row that was chosen.

        Args:
            encoded: the image.
            answer: what was answered.
        """
        with self._changed:
            while self._patient and not self._closed and not self._has_room(len(encoded)):
                self._changed.wait()
            admitted = not self._closed and self._has_room(len(encoded))
            if admitted:
                self._queue.append(_Waiting(datetime.now(UTC), encoded, answer))
                self._bytes += len(encoded)
                self._changed.notify_all()
        if not admitted:
            self._count("dropped", 1)

    def close(self) -> None:
        """Logs what still waits, and ends the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def failed(self, rows: int, error: Exception) -> None:
        """Counts rows that could not be logged, and says why in this process' own log, at most once a minute."""
        self._count("failed", rows)
        now = time.monotonic()
        if now >= self._next_message:
            self._next_message = now + _SECONDS_BETWEEN_MESSAGES
            _LOGGER.error("%d rows could not be logged in %s: %s", rows, self._options.folder, error)

    def _has_room(self, size: int) -> bool:
        # An image that is larger than the whole queue is let in when nothing else waits.
        return not self._queue or (
            len(self._queue) < self._options.max_waiting_rows and self._bytes + size <= self._options.max_waiting_bytes
        )

    def _work(self) -> None:
        while rows := self._take():
            try:
                self._log(rows)
            except Exception as error:  # a thread that died would log no more, and nobody would know
                self.failed(len(rows), error)
            del rows  # else their images would stay in memory until the next ones come
        self._files.close()

    def _take(self) -> list[_Waiting]:
        """Waits for rows; none when the log is closed and all is done."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait()
            taken = [self._queue.popleft() for _ in range(min(len(self._queue), _ROWS_AT_A_TIME))]
            self._bytes -= sum(len(row.encoded) for row in taken)
            self._changed.notify_all()
            return taken

    def _log(self, rows: Iterable[_Waiting]) -> None:
        lines: list[str] = []
        for row in rows:
            try:
                lines.append(self._line(row))
            except (ValueError, OSError) as error:
                self.failed(1, error)
        if not lines:
            return
        try:
            self._files.append("".join(lines))
        except OSError as error:
            self.failed(len(lines), error)
        else:
            self._count("written", len(lines))

    def _line(self, row: _Waiting) -> str:
        image = measure(row.encoded)
        digest = None
        if self._options.keep_images:
            digest = hashlib.sha256(row.encoded).hexdigest()
            self._files.keep(digest, image.format or "bin", row.encoded)
        return Entry(row.time, image, row.answer, digest).to_line()
