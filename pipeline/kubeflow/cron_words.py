"""A cron schedule as people say it: "every Monday at 02:00 UTC"."""

import calendar
from collections.abc import Collection, Sequence
from itertools import pairwise

from pipeline.kubeflow.cron import CronSchedule

_MOST_TIMES = 8  # more times of a day are not listed one by one
_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def in_words(schedule: CronSchedule) -> str:
    """Returns a schedule in words, e.g. "every day at 02:00 UTC" or "every 15 minutes, on Monday to Friday"."""
    times, are_moments = _times(schedule)
    days = _days(schedule)
    months = "" if len(schedule.months) == 12 else f" in {_listed(schedule.months, list(calendar.month_name))}"
    if are_moments:
        return f"{days or 'every day'}{months} {times} UTC"
    return ", ".join(part for part in (times, f"{days}{months}".strip()) if part) + " (UTC)"


def _times(schedule: CronSchedule) -> tuple[str, bool]:
    """Returns the times of a day, and whether they are single moments, which read best behind the day."""
    seconds, minutes, hours = (sorted(values) for values in (schedule.seconds, schedule.minutes, schedule.hours))
    if len(hours) * len(minutes) * len(seconds) <= _MOST_TIMES:
        moments = [(hour, minute, second) for hour in hours for minute in minutes for second in seconds]
        whole_minutes = seconds == [0]
        shown = [f"{h:02}:{m:02}" if whole_minutes else f"{h:02}:{m:02}:{s:02}" for h, m, s in moments]
        return f"at {_joined(shown)}", True
    parts = []
    if seconds != [0]:
        parts.append(_every(seconds, 60, "second"))
    if not (len(minutes) == 60 and parts and len(seconds) > 1):
        parts.append("every hour" if minutes == [0] and len(hours) == 24 else _every(minutes, 60, "minute"))
    if len(hours) == 24:
        if parts[-1].startswith("at minute"):
            parts[-1] += " of every hour"
    else:
        if minutes == [0] and len(seconds) == 1 and _every(hours, 24, "hour").startswith("every"):
            parts.remove("at minute 0")
        parts.append(_every(hours, 24, "hour"))
    return ", ".join(parts), False


def _every(values: list[int], number: int, unit: str) -> str:
    """Returns e.g. "every minute", "every 15 minutes", "at minutes 5 and 35"."""
    if len(values) == number:
        return f"every {unit}"
    steps = {later - earlier for earlier, later in pairwise([*values, values[0] + number])}
    if len(values) > 2 and len(steps) == 1 and values[0] == 0:
        return f"every {steps.pop()} {unit}s"
    listed = _listed(values, [str(value) for value in range(number)])
    return f"at {unit}{'s' if len(values) > 1 else ''} {listed}"


def _days(schedule: CronSchedule) -> str:
    """Returns which days, or "" for every one."""
    every_day, every_weekday = len(schedule.days) == 31, len(schedule.weekdays) == 7
    either = not (schedule.any_day or schedule.any_weekday)
    if (every_day and every_weekday) or (either and (every_day or every_weekday)):
        return ""
    of_month = f"on day{'s' if len(schedule.days) > 1 else ''} {_listed(schedule.days, [str(n) for n in range(32)])}"
    of_month += " of the month"
    of_week = _listed(schedule.weekdays, _WEEKDAYS)
    if every_day:
        return f"every {of_week}" if len(schedule.weekdays) == 1 else f"on {of_week}"
    if every_weekday:
        return of_month
    return f"{of_month} or on {of_week}" if either else f"{of_month} that are {of_week}"


def _listed(values: Collection[int], names: Sequence[str]) -> str:
    """Returns values by name; three or more in a row as a range."""
    ordered, words = sorted(values), []
    while ordered:
        length = 1
        while length < len(ordered) and ordered[length] == ordered[0] + length:
            length += 1
        run, ordered = ordered[:length], ordered[length:]
        words += [f"{names[run[0]]} to {names[run[-1]]}"] if length > 2 else [names[value] for value in run]
    return _joined(words)


def _joined(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
