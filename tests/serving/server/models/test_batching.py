"""The batch threads, with a graph that is a few lines of Python: it doubles numbers, and refuses 13."""

import threading
import time
from concurrent.futures import CancelledError

import numpy as np
import pytest

from serving.errors import (
    BadRowError,
    InternalError,
    InvalidArgumentError,
    QueueFullError,
    ResourceExhaustedError,
    UnavailableError,
)
from serving.server.configuration.parameters import BatchingParameters
from serving.server.models.batching import BatchScheduler

BAD = 13


class Doubler:
    """Computes like a graph, remembers its batches, and can be held up."""

    def __init__(self):
        self.batches = []
        self.started = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, inputs):
        values = inputs["x"]
        self.batches.append(values.tolist())
        self.started.release()
        assert self.gate.wait(30)
        for row, value in enumerate(values):
            if value == BAD:
                raise BadRowError("x", row, "is unlucky")
        return {"y": values * 2}


@pytest.fixture
def doubler():
    return Doubler()


@pytest.fixture
def open_scheduler():
    opened = []

    def make(**parameters):
        opened.append(BatchScheduler(BatchingParameters(**{"num_batch_threads": 1, **parameters})))
        return opened[-1]

    yield make
    for scheduler in opened:
        scheduler.close()


def ignore(rows, waits):
    pass


def ask(queue, *values):
    return queue.submit({"x": np.array(values)}, len(values), lambda outputs: outputs["y"].tolist())


def hold(queue, doubler):
    """Lets the only batch thread be busy with a request of its own, so that what comes next has to wait."""
    doubler.gate.clear()
    first = ask(queue, 0)
    assert doubler.started.acquire(timeout=30)
    return first


def test_what_waits_together_is_computed_together_and_each_gets_its_own_rows(open_scheduler, doubler):
    queue = open_scheduler(max_batch_size=8).queue(doubler, ignore)
    hold(queue, doubler)
    answers = [ask(queue, 1, 2), ask(queue, 3), ask(queue, 4, 5, 6)]
    doubler.gate.set()
    assert [answer.result(30) for answer in answers] == [[2, 4], [6], [8, 10, 12]]
    assert doubler.batches == [[0], [1, 2, 3, 4, 5, 6]]


def test_a_batch_holds_no_more_rows_than_allowed_and_keeps_the_order(open_scheduler, doubler):
    queue = open_scheduler(max_batch_size=4).queue(doubler, ignore)
    hold(queue, doubler)
    answers = [ask(queue, 1, 2), ask(queue, 3, 4, 5), ask(queue, 6)]
    doubler.gate.set()
    assert [answer.result(30) for answer in answers] == [[2, 4], [6, 8, 10], [12]]
    assert doubler.batches == [[0], [1, 2], [3, 4, 5, 6]]


def test_a_request_larger_than_a_batch_is_computed_alone(open_scheduler, doubler):
    queue = open_scheduler(max_batch_size=2).queue(doubler, ignore)
    hold(queue, doubler)
    answers = [ask(queue, 1, 2, 3, 4, 5), ask(queue, 6)]
    doubler.gate.set()
    assert [answer.result(30) for answer in answers] == [[2, 4, 6, 8, 10], [12]]
    assert doubler.batches == [[0], [1, 2, 3, 4, 5], [6]]


def test_an_idle_server_waits_for_no_company(open_scheduler, doubler):
    queue = open_scheduler(max_batch_size=8).queue(doubler, ignore)
    assert ask(queue, 1).result(30) == [2]
    assert ask(queue, 2).result(30) == [4]
    assert doubler.batches == [[1], [2]]


def test_with_a_timeout_a_batch_waits_for_company_until_it_is_full(open_scheduler, doubler):
    queue = open_scheduler(max_batch_size=2, batch_timeout_micros=60_000_000).queue(doubler, ignore)
    first = ask(queue, 1)
    time.sleep(0.2)
    assert doubler.batches == []
    assert (ask(queue, 2).result(30), first.result(30)) == ([4], [2])
    assert doubler.batches == [[1, 2]]


def test_with_a_timeout_a_batch_that_does_not_fill_starts_when_it_has_passed(open_scheduler, doubler):
    queue = open_scheduler(max_batch_size=2, batch_timeout_micros=200_000).queue(doubler, ignore)
    started = time.monotonic()
    assert ask(queue, 1).result(30) == [2]
    assert time.monotonic() - started >= 0.2


def test_a_bad_row_fails_its_own_request_by_its_own_number_and_no_other(open_scheduler, doubler):
    queue = open_scheduler(max_batch_size=8).queue(doubler, ignore)
    hold(queue, doubler)
    answers = [ask(queue, 1, 2), ask(queue, 3, BAD), ask(queue, 4), ask(queue, BAD)]
    doubler.gate.set()
    assert answers[0].result(30) == [2, 4]
    assert answers[2].result(30) == [8]
    for answer, row in ((answers[1], 1), (answers[3], 0)):
        with pytest.raises(BadRowError, match=rf"^x\[{row}\]: is unlucky$"):
            answer.result(30)


def test_a_failure_without_a_row_is_each_requests_own_affair(open_scheduler):
    def in_company(inputs):
        if len(inputs["x"]) > 1:
            raise InvalidArgumentError("too much company")
        if inputs["x"][0] == BAD:
            raise ResourceExhaustedError("out of memory")
        return {"y": inputs["x"] * 2}

    gate, started = threading.Event(), threading.Semaphore(0)

    def run(inputs):
        started.release()
        assert gate.wait(30)
        return in_company(inputs)

    queue = open_scheduler(max_batch_size=8).queue(run, ignore)
    ask(queue, 0)
    assert started.acquire(timeout=30)
    answers = [ask(queue, 1), ask(queue, BAD), ask(queue, 3)]
    gate.set()
    assert (answers[0].result(30), answers[2].result(30)) == ([2], [6])
    with pytest.raises(ResourceExhaustedError):
        answers[1].result(30)


def test_outputs_of_another_number_of_rows_are_an_error_of_ours_and_never_handed_out(open_scheduler):
    queue = open_scheduler().queue(lambda inputs: {"y": np.zeros(3)}, ignore)
    with pytest.raises(InternalError, match=r"y has shape \[3\] for a batch of 1 rows"):
        ask(queue, 1).result(30)


def test_a_full_queue_refuses_at_once_and_takes_more_when_it_has_emptied(open_scheduler, doubler):
    queue = open_scheduler(max_batch_size=2, max_enqueued_batches=2).queue(doubler, ignore)
    first = hold(queue, doubler)
    waiting = [ask(queue, value) for value in (1, 2, 3, 4)]
    with pytest.raises(QueueFullError, match="holds 4 of 4 rows, and 1 more do not fit"):
        ask(queue, 5)
    doubler.gate.set()
    assert [answer.result(30) for answer in (first, *waiting)] == [[0], [2], [4], [6], [8]]
    assert ask(queue, 5).result(30) == [10]


def test_a_cancelled_request_is_not_computed_and_makes_room(open_scheduler, doubler):
    queue = open_scheduler(max_batch_size=8).queue(doubler, ignore)
    hold(queue, doubler)
    gone, stays = ask(queue, 1), ask(queue, 2)
    assert gone.cancel()
    doubler.gate.set()
    assert stays.result(30) == [4]
    assert doubler.batches == [[0], [2]]
    with pytest.raises(CancelledError):
        gone.result(0)


def test_an_answer_that_cannot_be_made_fails_that_request_alone(open_scheduler, doubler):
    queue = open_scheduler(max_batch_size=8).queue(doubler, ignore)
    hold(queue, doubler)
    broken = queue.submit({"x": np.array([1])}, 1, lambda outputs: outputs["nothing"])
    whole = ask(queue, 2)
    doubler.gate.set()
    assert whole.result(30) == [4]
    with pytest.raises(InternalError, match="could not be made"):
        broken.result(30)


def test_closing_computes_what_still_waits_and_takes_no_more(open_scheduler, doubler):
    scheduler = open_scheduler(max_batch_size=1)
    queue = scheduler.queue(doubler, ignore)
    hold(queue, doubler)
    waiting = [ask(queue, value) for value in (1, 2)]
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    doubler.gate.set()
    closing.join(30)
    assert [answer.result(0) for answer in waiting] == [[2], [4]]
    with pytest.raises(UnavailableError):
        ask(queue, 3)


def test_a_removed_queue_answers_what_it_holds_and_others_go_on(open_scheduler, doubler):
    scheduler = open_scheduler(max_batch_size=1)
    old, new = scheduler.queue(doubler, ignore), scheduler.queue(doubler, ignore)
    hold(old, doubler)
    waiting = ask(old, 1)
    scheduler.remove(old)
    doubler.gate.set()
    assert waiting.result(30) == [2]
    assert ask(new, 2).result(30) == [4]


def test_the_request_that_waited_longest_comes_first_whichever_queue_it_is_in(open_scheduler, doubler):
    scheduler = open_scheduler(max_batch_size=4)
    one, other = scheduler.queue(doubler, ignore), scheduler.queue(doubler, ignore)
    hold(one, doubler)
    answers = [ask(other, 1), ask(one, 2), ask(other, 3)]
    doubler.gate.set()
    for answer in answers:
        answer.result(30)
    assert doubler.batches == [[0], [1, 3], [2]]


def test_the_observer_hears_of_rows_and_waits_and_its_failure_harms_nobody(open_scheduler, doubler):
    heard = []

    def observe(rows, waits):
        heard.append((rows, waits))
        raise ValueError("an observer must not stop the server")

    queue = open_scheduler(max_batch_size=8).queue(doubler, observe)
    hold(queue, doubler)
    answers = [ask(queue, 1, 2), ask(queue, 3)]
    time.sleep(0.05)
    doubler.gate.set()
    for answer in answers:
        answer.result(30)
    assert ask(queue, 4).result(30) == [8]
    assert heard[1][0] == 3
    assert len(heard[1][1]) == 2
    assert min(heard[1][1]) >= 0.05


def test_many_threads_get_each_their_own_answer(open_scheduler, doubler):
    queue = open_scheduler(max_batch_size=16, num_batch_threads=2, max_enqueued_batches=1000).queue(doubler, ignore)
    wrong = []

    def client(start):
        for value in range(start, start + 200):
            if value % 50 == BAD:
                continue
            if ask(queue, value, value + 1000).result(30) != [2 * value, 2 * (value + 1000)]:
                wrong.append(value)

    threads = [threading.Thread(target=client, args=(1000 * number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == []
    assert max(map(len, doubler.batches)) <= 16
    assert sum(map(len, doubler.batches)) == 8 * 2 * 196
