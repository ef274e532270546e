"""Logging beside answers: a share, a bounded queue, and counts of what became of each row."""

import hashlib
import threading
from collections import Counter

import pytest

from serving.request_log import writer
from serving.request_log.options import RequestLogOptions
from serving.request_log.reading import logged_days, read_days
from serving.request_log.writer import RequestLog
from tests.support.images import encode, noise
from tests.support.request_logs import entries

IMAGE = encode(noise(0, 40, 40))


@pytest.fixture
def counts():
    return Counter()


@pytest.fixture
def open_log(tmp_path, counts):
    opened = []

    def start(patient=False, **options):
        made = RequestLogOptions(tmp_path, **{"share": 1.0, **options})
        opened.append(RequestLog(made, lambda outcome, rows: counts.update({outcome: rows}), patient))
        return opened[-1]

    yield start
    for log in opened:
        log.close()


def answers(count):
    return [entry.answer for entry in entries(count, 0)]


def read(folder):
    return read_days(folder, logged_days(folder)).entries


@pytest.fixture
def held(monkeypatch):
    """Holds the measuring of rows until it is let go; says when it has begun."""
    measure, gate, begun = writer.measure, threading.Event(), threading.Semaphore(0)

    def wait(encoded):
        begun.release()
        assert gate.wait(30)
        return measure(encoded)

    monkeypatch.setattr(writer, "measure", wait)
    yield gate, begun
    gate.set()


def test_what_is_offered_is_logged_when_the_log_is_closed(open_log, tmp_path, counts):
    log = open_log()
    for answer in answers(10):
        log.offer(IMAGE, answer)
    log.close()
    logged = read(tmp_path)
    assert [entry.answer for entry in logged] == answers(10)
    assert {(entry.image.format, entry.image.height) for entry in logged} == {("PNG", 40)}
    assert counts == {"written": 10}


def test_chance_takes_the_share(open_log):
    log = open_log(share=0.25)
    # 8 standard deviations (43) on either side.
    assert 2150 < sum(log.chosen() for _ in range(10_000)) < 2850


@pytest.mark.parametrize("limit", [{"max_waiting_rows": 3}, {"max_waiting_bytes": 3 * len(IMAGE)}])
def test_what_does_not_fit_into_the_queue_is_dropped_at_once_and_counted(open_log, counts, held, limit):
    gate, begun = held
    log = open_log(**limit)
    (answer,) = answers(1)
    log.offer(IMAGE, answer)
    begun.acquire()  # the first one is being measured, and waits no more
    for _ in range(5):
        log.offer(IMAGE, answer)
    assert counts == {"dropped": 2}
    gate.set()
    log.close()
    assert counts == {"dropped": 2, "written": 4}


def test_an_image_larger_than_the_queue_is_logged_when_nothing_else_waits(open_log, counts):
    log = open_log(max_waiting_bytes=10)
    log.offer(IMAGE, answers(1)[0])
    log.close()
    assert counts == {"written": 1}


def test_a_patient_log_waits_for_room_instead(open_log, counts, held):
    gate, begun = held
    log = open_log(patient=True, max_waiting_rows=2)
    client = threading.Thread(target=lambda: [log.offer(IMAGE, answer) for answer in answers(20)])
    client.start()
    begun.acquire()
    gate.set()
    client.join(30)
    log.close()
    assert counts == {"written": 20}


def test_a_row_that_cannot_be_measured_is_counted_and_spoils_no_other(open_log, tmp_path, counts, caplog):
    log = open_log()
    for encoded in (IMAGE, IMAGE[:200], IMAGE):
        log.offer(encoded, answers(1)[0])
    log.close()
    assert counts == {"written": 2, "failed": 1}
    assert len(read(tmp_path)) == 2
    assert "cannot be decoded" in caplog.text


def test_a_full_disk_is_counted_and_said_and_logging_goes_on(open_log, tmp_path, counts, caplog, monkeypatch):
    log = open_log()
    append, failures = log._files.append, [OSError(28, "No space left on device")]
    monkeypatch.setattr(log._files, "append", lambda lines: (failures and _raise(failures.pop())) or append(lines))
    log.offer(IMAGE, answers(1)[0])
    while not counts:
        threading.Event().wait(0.01)
    log.offer(IMAGE, answers(1)[0])
    log.close()
    assert counts == {"failed": 1, "written": 1}
    assert "No space left on device" in caplog.text


def _raise(error):
    raise error


def test_a_fault_of_our_own_ends_no_thread(open_log, counts, monkeypatch):
    log = open_log()
    measure = writer.measure
    monkeypatch.setattr(writer, "measure", lambda encoded: _raise(RuntimeError("a fault")))
    log.offer(IMAGE, answers(1)[0])
    while not counts:
        threading.Event().wait(0.01)
    monkeypatch.setattr(writer, "measure", measure)
    log.offer(IMAGE, answers(1)[0])
    log.close()
    assert counts == {"failed": 1, "written": 1}


def test_images_are_kept_only_if_asked_for(open_log, tmp_path):
    log = open_log()
    log.offer(IMAGE, answers(1)[0])
    log.close()
    assert not (tmp_path / "images").exists()
    log = open_log(keep_images=True)
    log.offer(IMAGE, answers(1)[0])
    log.close()
    digest = hashlib.sha256(IMAGE).hexdigest()
    assert (tmp_path / "images" / f"{digest}.png").read_bytes() == IMAGE
    assert [entry.digest for entry in read(tmp_path)] == [None, digest]


def test_a_closed_log_drops_and_counts(open_log, counts):
    log = open_log()
    log.close()
    log.offer(IMAGE, answers(1)[0])
    assert counts == {"dropped": 1}
