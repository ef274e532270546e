"""Results come in order, are computed before they are asked for, and an error comes where its result would have."""

import threading

import pytest

from components.training.prefetching import prefetch


def test_results_come_in_the_order_of_their_arguments_even_if_later_ones_are_ready_first():
    second_is_ready = threading.Event()

    def compute(number):
        if number == 0:
            assert second_is_ready.wait(10)
        if number == 1:
            second_is_ready.set()
        return number**2

    assert list(prefetch(compute, range(6))) == [0, 1, 4, 9, 16, 25]


def test_the_next_results_are_computed_while_nobody_asks_and_no_more_than_the_depth():
    begun = []
    third_began = threading.Event()

    def compute(number):
        begun.append(number)
        if number == 2:
            third_began.set()

    results = prefetch(compute, range(100), depth=2)
    next(results)
    assert third_began.wait(10)
    assert max(begun) == 2
    results.close()


def test_an_error_comes_where_its_result_would_have():
    results = prefetch(lambda number: 1 / number, [1, 2, 0, 4])
    assert [next(results), next(results)] == [1.0, 0.5]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_nothing_comes_of_nothing():
    assert list(prefetch(str, [])) == []
