"""The rows at fault are told from the others, at the price of how many runs."""

import pytest

from serving.bad_rows import RefusedRow, batch_error, isolate_bad_rows, named_row
from serving.errors import BadRowError, InvalidArgumentError

ROWS = 8


class Batch:
    """Squares its rows; fails as told and keeps the rows of each run."""

    def __init__(self, bad=(), named=False, largest=ROWS, failure=None):
        self.bad, self.named, self.largest, self.failure = bad, named, largest, failure
        self.runs = []

    def run(self, rows):
        self.runs.append(list(rows))
        if self.failure is not None:
            raise self.failure
        if len(rows) > self.largest:
            raise InvalidArgumentError("too many rows")
        for position, row in enumerate(rows):
            if row in self.bad and self.named:
                raise BadRowError("image_bytes", position, f"{row} is bad")
            if row in self.bad:
                raise InvalidArgumentError("bad")
        return [row * row for row in rows]

    def outcomes(self, rows=ROWS, **options):
        return dict(isolate_bad_rows(self.run, range(rows), **options))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("bad", [(), (0,), (5,), (7,), (2, 6), (3, 4, 5), tuple(range(ROWS))])
def test_every_row_has_its_result_or_its_reason(bad, named):
    outcomes = Batch(bad, named).outcomes()
    assert sorted(outcomes) == list(range(ROWS))
    for row, outcome in outcomes.items():
        expected = RefusedRow(f"{row} is bad" if named else "bad") if row in bad else row * row
        assert outcome == expected


def test_a_named_row_costs_one_run_without_it():
    batch = Batch((3, 6), named=True)
    batch.outcomes()
    assert batch.runs == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 4, 5, 6, 7], [0, 1, 2, 4, 5, 7]]


def test_an_unnamed_row_is_found_by_halves_of_which_none_that_must_fail_is_run():
    batch = Batch((6,))
    batch.outcomes()
    assert batch.runs == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3], [4, 5], [6], [7]]


@pytest.mark.parametrize("bad", [(0,), (5,), (2, 6), tuple(range(ROWS))])
def test_the_first_bad_row_is_the_first_refused_and_nothing_is_run_ahead_of_need(bad):
    batch = Batch(bad)
    outcomes = isolate_bad_rows(batch.run, range(ROWS), known_to_fail=True)
    assert next(row for row, outcome in outcomes if isinstance(outcome, RefusedRow)) == bad[0]
    assert len(batch.runs) <= 4
    assert max(map(len, batch.runs)) == ROWS / 2


def test_a_batch_that_is_too_large_is_answered_in_parts():
    batch = Batch(largest=4)
    assert batch.outcomes() == {row: row * row for row in range(ROWS)}


def test_a_row_that_is_not_in_the_batch_names_none():
    outcomes = Batch(failure=BadRowError("image_bytes", 9, "is bad")).outcomes(2)
    assert outcomes == {0: RefusedRow("is bad"), 1: RefusedRow("is bad")}


def test_a_failure_that_is_no_rows_ends_the_iteration():
    batch = Batch(failure=OSError("unreachable"))
    with pytest.raises(OSError, match="unreachable"):
        batch.outcomes()
    assert len(batch.runs) == 1


@pytest.mark.parametrize("known_to_fail", [True, False])
def test_no_rows_are_never_run(known_to_fail):
    batch = Batch()
    assert batch.outcomes(0, known_to_fail=known_to_fail) == {}
    assert batch.runs == []


@pytest.mark.parametrize("message", ["no file", "got image_bytes[1]: x", "image_bytes[x]: y", "examples[3]: z"])
def test_a_message_that_does_not_start_with_the_row_names_none(message):
    assert named_row(message) is None
    assert type(batch_error(message)) is InvalidArgumentError


def test_the_row_and_the_reason_of_a_bad_row_are_read_back():
    written = BadRowError("image_bytes", 12, "is empty:\nsend an image")
    assert named_row(str(written)) == (12, "is empty:\nsend an image")
    read = batch_error(str(written))
    assert isinstance(read, BadRowError)
    assert (read.row, read.reason, str(read)) == (written.row, written.reason, str(written))
