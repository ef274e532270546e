"""Rules by which a client repeats a request; nothing here waits for a clock."""

from itertools import islice

import pytest

from serving.client import ClientOptions, PredictionError, ServerError, ServerUnreachableError
from serving.client.answers import ConnectionBrokenError
from serving.client.retries import Contact, Deadline, Retries, backoffs, is_passing, repeat
from serving.errors import QueueFullError, RequestTooLargeError, ResourceExhaustedError, ServingError
from serving.server.configuration.parameters import BatchingParameters
from serving.server.models.batching import BatchScheduler


def test_pauses_grow_by_the_factor_up_to_the_longest():
    options = ClientOptions(first_backoff=0.25, backoff_factor=3.0, max_backoff=4.0)
    assert list(islice(backoffs(options, chance=lambda: 0.0), 5)) == [0.25, 0.75, 2.25, 4.0, 4.0]


def test_jitter_takes_off_at_most_its_share():
    options = ClientOptions(first_backoff=1.0, backoff_factor=1.0, max_backoff=1.0, jitter=0.25)
    drawn = iter([0.0, 0.5, 1.0])
    assert list(islice(backoffs(options, lambda: next(drawn)), 3)) == [1.0, 0.875, 0.75]


def test_by_default_pauses_are_drawn_at_random():
    pauses = list(islice(backoffs(ClientOptions(first_backoff=1.0, backoff_factor=1.0, max_backoff=1.0)), 100))
    assert len(set(pauses)) > 50
    assert all(0.5 <= pause <= 1.0 for pause in pauses)


@pytest.mark.parametrize(
    "code", ["INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNAUTHENTICATED", "INTERNAL", "DEADLINE_EXCEEDED"]
)
def test_these_codes_never_pass_by_themselves(code):
    assert not is_passing(ServerError(code, "the queue of the server at this place"))


def test_an_unavailable_server_may_come_back():
    assert is_passing(ServerError("UNAVAILABLE", "the server is stopping"))
    assert is_passing(ServerUnreachableError("UNAVAILABLE", "nobody there"))


def on_the_wire(error: ServingError) -> ServerError:
    """What a client makes of the server's error."""
    return ServerError(error.grpc_code, error.wire_message)


def refusal_of_a_full_queue() -> QueueFullError:
    """Asks a real queue for more than it takes. No batch is due, so that nothing leaves it meanwhile."""
    parameters = BatchingParameters(
        max_batch_size=2, batch_timeout_micros=60_000_000, max_enqueued_batches=1, num_batch_threads=1
    )
    scheduler = BatchScheduler(parameters)
    try:
        queue = scheduler.queue(lambda arrays: {}, lambda rows, waits: None)
        waiting = queue.submit({}, 1, dict)
        with pytest.raises(QueueFullError) as caught:
            queue.submit({}, 2, dict)
        waiting.cancel()
        return caught.value
    finally:
        scheduler.close()


def test_what_the_servers_queue_says_when_it_is_full_is_what_clients_wait_for():
    assert is_passing(on_the_wire(refusal_of_a_full_queue()))


def test_what_grpc_says_beyond_its_limit_on_requests_in_flight_is_waited_for():
    assert is_passing(ServerError("RESOURCE_EXHAUSTED", "Concurrent RPC limit exceeded!"))


def test_what_is_too_large_is_not_sent_again():
    assert not is_passing(on_the_wire(RequestTooLargeError("the request holds 9 bytes, above the limit of 8.")))
    assert not is_passing(on_the_wire(ResourceExhaustedError("memory ran out for a batch of 256 rows.")))


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now, self.slept = 1000.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class Failing:
    """Fails a number of times, then answers."""

    def __init__(self, error, times=10**6):
        self.error, self.times, self.asked = error, times, 0

    def __call__(self):
        self.asked += 1
        if self.asked <= self.times:
            raise type(self.error)(self.error.code, self.error.message)
        return "answer"


LOADING = ServerError("UNAVAILABLE", "loading")
NOBODY = ServerUnreachableError("UNAVAILABLE", "nobody there")


@pytest.fixture
def clock():
    return Clock()


def asked(clock, attempt, contact=None, **options):
    chosen = ClientOptions(first_backoff=1.0, backoff_factor=2.0, max_backoff=4.0, jitter=0.0, **options)
    retries = Retries(chosen, Deadline(chosen.deadline, clock), contact or Contact(), chance=lambda: 0.0)
    return repeat(attempt, retries, clock.sleep)


def test_a_request_is_repeated_with_growing_pauses_until_it_is_answered(clock):
    assert asked(clock, Failing(LOADING, 5)) == "answer"
    assert clock.slept == [1.0, 2.0, 4.0, 4.0, 4.0]


def test_the_deadline_holds_for_all_attempts_together(clock):
    with pytest.raises(ServerError, match="loading") as caught:
        asked(clock, Failing(LOADING), deadline=10.0)
    assert clock.slept == [1.0, 2.0, 4.0]  # one more pause would end after 11 s
    assert caught.value.__notes__ == ["Tried 4 times in 7.0 s."]


def test_time_that_attempts_take_counts_too(clock):
    def slow():
        clock.now += 4.0
        raise ServerError("UNAVAILABLE", "loading")

    with pytest.raises(ServerError):
        asked(clock, slow, deadline=10.0)
    assert clock.slept == [1.0]


def test_an_address_where_nobody_ever_answered_is_given_up_soon(clock):
    with pytest.raises(ServerUnreachableError):
        asked(clock, Failing(NOBODY), connect_deadline=3.5, deadline=60.0)
    assert clock.slept == [1.0, 2.0]


def test_a_connection_that_ends_without_an_answer_is_no_sign_of_a_server(clock):
    with pytest.raises(ConnectionBrokenError):
        asked(clock, Failing(ConnectionBrokenError("UNAVAILABLE", "closed")), connect_deadline=3.5, deadline=60.0)
    assert clock.slept == [1.0, 2.0]


def test_an_address_where_a_server_answered_before_has_the_whole_deadline(clock):
    contact = Contact()
    asked(clock, lambda: "answer", contact)
    assert asked(clock, Failing(NOBODY, 6), contact, connect_deadline=3.5) == "answer"
    assert clock.now - 1000.0 > 3.5


def test_a_refusal_is_a_sign_of_a_server_too(clock):
    contact = Contact()
    with pytest.raises(ServerError):
        asked(clock, Failing(ServerError("NOT_FOUND", "no such model")), contact)
    assert contact.made
    assert clock.slept == []


def test_a_refused_image_is_not_sent_again(clock):
    attempt = Failing(PredictionError("INVALID_ARGUMENT", "image_bytes[0]: is empty"))
    with pytest.raises(PredictionError):
        asked(clock, attempt)
    assert attempt.asked == 1


def test_a_deadline_that_has_passed_says_so_with_its_length(clock):
    deadline = Deadline(2.5, clock)
    left = []
    for _ in range(3):
        left.append(deadline.require("host:1"))
        clock.sleep(1.0)
    assert left == [2.5, 1.5, 0.5]
    with pytest.raises(ServerError, match=r"host:1 did not answer within 2\.5 s") as caught:
        deadline.require("host:1")
    assert caught.value.code == "DEADLINE_EXCEEDED"
