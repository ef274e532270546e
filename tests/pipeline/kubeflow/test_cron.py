"""Cron expressions: read as the scheduler of Kubeflow Pipelines reads them, evaluated as minutes tried one by one."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from pipeline.kubeflow.cron import parse_cron, parse_stored_cron
from pipeline.kubeflow.cron_words import in_words

START = datetime(2027, 2, 26, 23, 58, 30, tzinfo=UTC)  # a Friday, near the end of a short month


def brute_force(matches, start, count, step):
    """Tries one moment after another; `matches` knows nothing of cron."""
    moment, found = start.replace(second=0, microsecond=0), []
    while len(found) < count:
        moment += step
        if moment > start and matches(moment):
            found.append(moment)
    return found


MINUTES = [
    ("0 2 * * *", lambda t: (t.hour, t.minute) == (2, 0)),
    ("*/15 * * * *", lambda t: t.minute in (0, 15, 30, 45)),
    ("5/20 3,4 * * *", lambda t: t.minute in (5, 25, 45) and t.hour in (3, 4)),
    ("59 23 28-31 * *", lambda t: (t.hour, t.minute) == (23, 59) and t.day >= 28),
    ("30 6 * * mon-fri", lambda t: (t.hour, t.minute) == (6, 30) and t.isoweekday() <= 5),
    ("30 6 * * SUN", lambda t: (t.hour, t.minute) == (6, 30) and t.isoweekday() == 7),
    ("0 0 13 * 5", lambda t: (t.hour, t.minute) == (0, 0) and (t.day == 13 or t.isoweekday() == 5)),
    ("0 0 */2 * 5", lambda t: (t.hour, t.minute) == (0, 0) and t.day % 2 == 1 and t.isoweekday() == 5),
    ("0 0 1 mar-may ?", lambda t: (t.hour, t.minute, t.day) == (0, 0, 1) and 3 <= t.month <= 5),
    ("0 12 ? 4 1-6/2", lambda t: (t.hour, t.minute) == (12, 0) and t.month == 4 and t.isoweekday() in (1, 3, 5)),
    ("@hourly", lambda t: t.minute == 0),
    ("@weekly", lambda t: (t.hour, t.minute) == (0, 0) and t.isoweekday() == 7),
    ("@monthly", lambda t: (t.hour, t.minute, t.day) == (0, 0, 1)),
    ("0 0 9 ? * 2-6", lambda t: (t.hour, t.minute) == (9, 0) and t.isoweekday() in (2, 3, 4, 5, 6)),  # kfp's example
]


@pytest.mark.parametrize(("text", "matches"), MINUTES, ids=[text for text, _ in MINUTES])
def test_times_are_those_that_trying_every_minute_finds(text, matches):
    assert parse_cron(text).upcoming(12, START) == brute_force(matches, START, 12, timedelta(minutes=1))


SECONDS = [
    ("*/20 * * * * *", lambda t: t.second in (0, 20, 40)),
    ("7 59,0 23,0 * * *", lambda t: t.second == 7 and t.minute in (59, 0) and t.hour in (23, 0)),
]


@pytest.mark.parametrize(("text", "matches"), SECONDS, ids=[text for text, _ in SECONDS])
def test_the_first_of_six_fields_is_the_second(text, matches):
    assert parse_cron(text).upcoming(5, START) == brute_force(matches, START, 5, timedelta(seconds=1))


def items(low, high):
    """Items of a list: their text, and the values that they stand for."""
    single = some.integers(low, high).map(lambda value: (str(value), {value}))
    ends = some.tuples(some.integers(low, high), some.integers(low, high)).map(sorted)
    ranges = ends.map(lambda end: (f"{end[0]}-{end[1]}", set(range(end[0], end[1] + 1))))
    steps = some.tuples(ends, some.integers(1, high - low)).map(
        lambda drawn: (f"{drawn[0][0]}-{drawn[0][1]}/{drawn[1]}", set(range(drawn[0][0], drawn[0][1] + 1, drawn[1])))
    )
    return single | ranges | steps


def fields(low, high):
    listed = some.lists(items(low, high), min_size=1, max_size=3).map(
        lambda drawn: (",".join(text for text, _ in drawn), set().union(*(values for _, values in drawn)))
    )
    return some.just(("*", None)) | listed


@settings(max_examples=60, deadline=None)
@given(fields(0, 59), fields(0, 23), fields(1, 28), fields(1, 12), fields(0, 6), some.integers(0, 400 * 86400))
def test_times_of_any_expression_are_those_that_trying_every_minute_finds(minute, hour, day, month, weekday, seconds):
    drawn, start = (minute, hour, day, month, weekday), START + timedelta(seconds=seconds)

    def on(date):
        in_month, of_week = date.day, date.isoweekday() % 7
        if day[1] is not None and weekday[1] is not None:
            return in_month in day[1] or of_week in weekday[1]
        return (day[1] is None or in_month in day[1]) and (weekday[1] is None or of_week in weekday[1])

    def matches(moment):
        clock = [(minute[1], moment.minute), (hour[1], moment.hour), (month[1], moment.month)]
        return all(values is None or value in values for values, value in clock) and on(moment)

    found = parse_cron(" ".join(text for text, _ in drawn)).upcoming(1, start)[0]
    assert matches(found) and found.second == 0
    # Nothing in between matches: whole days that do not are left out, to be done in time.
    moment = start.replace(second=0) + timedelta(minutes=1)
    while moment < found:
        if (month[1] is not None and moment.month not in month[1]) or not on(moment):
            moment = moment.replace(hour=0, minute=0) + timedelta(days=1)
            continue
        assert not matches(moment), moment
        moment += timedelta(minutes=1)


def test_a_leap_day_is_waited_for():
    times = parse_cron("0 2 29 2 *").upcoming(2, START)
    assert times == [datetime(2028, 2, 29, 2, tzinfo=UTC), datetime(2032, 2, 29, 2, tzinfo=UTC)]


def test_times_are_in_utc_wherever_one_is():
    here = datetime(2027, 6, 1, 1, 0, tzinfo=timezone(timedelta(hours=9)))  # 31 May, 16:00 UTC
    assert parse_cron("0 2 * * *").upcoming(1, here) == [datetime(2027, 6, 1, 2, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("0 2 * * *", "0 0 2 * * *"),
        ("  0  2 *\t* MON ", "0 0 2 * * mon"),
        ("30 0 2 * * ?", "30 0 2 * * ?"),
        ("@daily", "0 0 0 * * *"),
        ("@Weekly", "0 0 0 * * 0"),
    ],
)
def test_kubeflow_is_given_six_fields(text, expression):
    assert parse_cron(text).expression == expression


def test_what_means_the_same_is_equal():
    assert parse_cron("0 2 * * mon") == parse_cron("0 0 2 ? * 1") != parse_cron("0 2 * * tue")
    assert parse_cron("@daily") == parse_cron("0 0 * * *")


def test_of_five_stored_fields_the_first_is_the_second_as_the_scheduler_reads_them():
    assert parse_stored_cron("0 2 * * *") == parse_cron("0 2 * * * *")
    assert parse_stored_cron("0 0 2 * * *") == parse_cron("0 2 * * *")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 2 * * *", "every day at 02:00 UTC"),
        ("30 0 2 * * *", "every day at 02:00:30 UTC"),
        ("0 2 * * mon", "every Monday at 02:00 UTC"),
        ("0 2,14 * * mon-fri", "on Monday to Friday at 02:00 and 14:00 UTC"),
        ("0 2 1 * *", "on day 1 of the month at 02:00 UTC"),
        ("0 2 1,15 * mon", "on days 1 and 15 of the month or on Monday at 02:00 UTC"),
        ("0 2 */16 * mon", "on days 1 and 17 of the month that are Monday at 02:00 UTC"),
        ("0 2 * jan,jul *", "every day in January and July at 02:00 UTC"),
        ("@hourly", "every hour (UTC)"),
        ("5,35 * * * *", "at minutes 5 and 35 of every hour (UTC)"),
        ("*/15 * * * *", "every 15 minutes (UTC)"),
        ("* * * * *", "every minute (UTC)"),
        ("0 */2 * * *", "every 2 hours (UTC)"),
        ("0 9-17 * * 1-5", "at minute 0, at hours 9 to 17, on Monday to Friday (UTC)"),
        ("*/10 * * * * *", "every 10 seconds (UTC)"),
    ],
)
def test_a_schedule_is_told_in_words(text, words):
    assert in_words(parse_cron(text)) == words


@pytest.mark.parametrize(
    ("text", "field", "rule", "fix"),
    [
        ("60 * * * *", "minute", "must be 0 to 59, got '60'", "Correct it"),
        ("* 24 * * *", "hour", "must be 0 to 23", "Correct it"),
        ("* * 0 * *", "day of month", "must be 1 to 31", "Correct it"),
        ("* * 32 * *", "day of month", "must be 1 to 31", "Correct it"),
        ("* * * 13 *", "month", "must be 1 to 12, or jan", "Correct it"),
        ("* * * foo *", "month", "got 'foo'", "Correct it"),
        ("* * * * 7", "day of week", "must be 0 to 6", "Write 0 or sun for Sunday"),
        ("60 * * * * *", "second", "must be 0 to 59", "Correct it"),
        ("*/0 * * * *", "minute", "a step must be 1 to 59", "behind the slash"),
        ("*/60 * * * *", "minute", "a step must be 1 to 59", "behind the slash"),
        ("1/2/3 * * * *", "minute", "a step must be", "behind the slash"),
        ("1,,2 * * * *", "minute", "must be *, a value", "0 to 59"),
        ("1-2-3 * * * *", "minute", "must be *, a value", "0 to 59"),
        ("-1 * * * *", "minute", "must be *, a value", "0 to 59"),
        ("٣ * * * *", "minute", "must be *, a value", "0 to 59"),
        ("? * * * *", "minute", "? stands for a day only", "Write *"),
        ("* * L * *", "day of month", "got 'L'", "Correct it"),
        ("* * * * 5#3", "day of week", "got '5#3'", "no L, W or #"),
        ("* * * * fri-mon", "day of week", "must not end before it begins", "5-6,0-1"),
        ("0 2 30 feb *", "cron", "never happens", "Choose a day"),
        ("", "cron", "got 0", "0 2 * * *"),
        ("* * *", "cron", "got 3", "0 2 * * *"),
        ("* * * * * * 2027", "cron", "got 7", "0 2 * * *"),
        ("@never", "cron", "is no such word", "@daily"),
        ("@every 6h", "cron", "counts from whenever", "0 */6 * * *"),
        ("TZ=Europe/Berlin 0 2 * * *", "cron", "must not name a time zone", "in UTC"),
    ],
)
def test_what_is_wrong_is_told_with_field_rule_value_and_fix(text, field, rule, fix):
    with pytest.raises(ValueError) as raised:
        parse_cron(text)
    message = str(raised.value)
    assert repr(text) in message and "\n" not in message
    assert field in message and rule in message and fix in message
