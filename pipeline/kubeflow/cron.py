"""Cron expressions as the scheduler of Kubeflow Pipelines reads them: parsed, checked and evaluated.

That scheduler parses with robfig/cron 1.2: six fields, seconds first, in one time zone for the whole installation
(CRON_SCHEDULE_TIMEZONE, shipped as UTC). Five fields are what people write; it would accept them too, but read the
minutes as seconds and the hours as minutes. They are therefore always completed to six here.

Sources: https://pkg.go.dev/github.com/robfig/cron@v1.2.0#hdr-CRON_Expression_Format;
https://github.com/kubeflow/pipelines/blob/master/backend/src/crd/controller/scheduledworkflow/util/cron_schedule.go
"""

import calendar
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_WEEKDAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_YEARS_AHEAD = 5  # robfig/cron looks no further, and then never fires


@dataclass(frozen=True)
class _Field:
    """What one field may hold.

    Attributes:
        name: in messages.
        low: smallest value.
        high: greatest value.
        names: words for values, in lower case.
        question_mark: whether ? stands for *.
    """

    name: str
    low: int
    high: int
    names: dict[str, int] = field(default_factory=dict)
    question_mark: bool = False

    @property
    def range(self) -> str:
        """The values, for people."""
        return f"{self.low} to {self.high}" + (f", or {', '.join(self.names)}" if self.names else "")


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31, question_mark=True),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _WEEKDAYS, question_mark=True),
)
_PART = re.compile(r"(?P<star>[*?])|(?P<low>[A-Za-z0-9]+)(-(?P<high>[A-Za-z0-9]+))?")


@dataclass(frozen=True)
class CronSchedule:
    """When something happens, in UTC. Two schedules are equal if they mean the same, however they were written.

    Attributes:
        expression: six fields, seconds first; what Kubeflow Pipelines is given.
        seconds: 0 to 59.
        minutes: 0 to 59.
        hours: 0 to 23.
        days: of the month, 1 to 31.
        months: 1 to 12.
        weekdays: 0, Sunday, to 6.
        any_day: whether the days of the month were written with a star, `*/2` included.
        any_weekday: the same of the days of the week.
    """

    expression: str = field(compare=False)
    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yields the times after a moment, in UTC; ends where five years pass without one.

        Args:
            moment: with a time zone.
        """
        last = moment.astimezone(UTC).replace(microsecond=0)
        while True:
            found = self._next(last)
            if found is None:
                return
            yield found
            last = found

    def upcoming(self, count: int, now: datetime | None = None) -> list[datetime]:
        """Returns the next times, in UTC.

        Args:
            count: how many.
            now: with a time zone; None is the present.
        """
        return [moment for moment, _ in zip(self.after(now or datetime.now(UTC)), range(count), strict=False)]

    def _next(self, last: datetime) -> datetime | None:
        moment = last + timedelta(seconds=1)
        day = moment.date()
        while day.year <= last.year + _YEARS_AHEAD:
            if self._on(day.day, day.month, (day.weekday() + 1) % 7):
                begin = (moment.hour, moment.minute, moment.second) if day == moment.date() else (0, 0, 0)
                time = self._time_from(begin)
                if time is not None:
                    return datetime(day.year, day.month, day.day, *time, tzinfo=UTC)
            day += timedelta(days=1)
        return None

    def _on(self, day: int, month: int, weekday: int) -> bool:
        """Whether it happens on a day. Where both kinds of days are restricted, either is enough."""
        if month not in self.months:
            return False
        if self.any_day or self.any_weekday:
            return day in self.days and weekday in self.weekdays
        return day in self.days or weekday in self.weekdays

    def _time_from(self, begin: tuple[int, int, int]) -> tuple[int, int, int] | None:
        """Returns the first (hour, minute, second) of a day that is not before another."""
        times = (
            (hour, minute, second)
            for hour in sorted(self.hours)
            if hour >= begin[0]
            for minute in sorted(self.minutes)
            if (hour, minute) >= begin[:2]
            for second in sorted(self.seconds)
            if (hour, minute, second) >= begin
        )
        return next(times, None)


def parse_cron(text: str) -> CronSchedule:
    """Reads a cron expression.

    Args:
        text: five fields (minute, hour, day of month, month, day of week), six (second first), or a word such as
            @daily. A field is *, or a list of values, names, ranges and steps, e.g. `1-5`, `*/15`, `mon,wed`.

    Raises:
        ValueError: if it is none, or stands for no time at all; names the field, the rule, the value and the fix.
    """
    words = text.split()
    if len(words) == 1 and words[0].startswith("@"):
        if words[0].lower() not in _DESCRIPTORS:
            raise ValueError(f"cron: {text!r}: is no such word. Use one of {', '.join(_DESCRIPTORS)}, or five fields.")
        words = _DESCRIPTORS[words[0].lower()].split()
    if words and words[0].startswith("@every"):
        raise ValueError(
            f"cron: {text!r}: counts from whenever it was made, so nobody can say when it happens. "
            "Write fields, e.g. '0 */6 * * *' for every six hours."
        )
    if words and re.match(r"(CRON_)?TZ=", words[0]):
        raise ValueError(
            f"cron: {text!r}: must not name a time zone: the scheduler has one for everybody, UTC as it is shipped. "
            "Write the time in UTC."
        )
    if len(words) not in (5, 6):
        raise ValueError(
            f"cron: {text!r}: must have five fields (minute, hour, day of month, month, day of week) or six, second "
            f"first, got {len(words)}. Write e.g. '0 2 * * *' for every day at 02:00."
        )
    if len(words) == 5:
        words = ["0", *words]
    schedule = _schedule(words, text)
    if not schedule.upcoming(1):
        raise ValueError(
            f"cron: {text!r}: never happens in the next {_YEARS_AHEAD} years: no such day in such a month. "
            "Choose a day that the month has."
        )
    return schedule


def parse_stored_cron(text: str) -> CronSchedule:
    """Reads the cron expression of a recurring run that is there already, as its scheduler does.

    Args:
        text: six fields, second first; of five, the day of week is missing, not the second.

    Raises:
        ValueError: if it is none that we read.
    """
    words = text.split()
    return parse_cron(f"{text} *" if len(words) == 5 else text)


def _schedule(words: list[str], text: str) -> CronSchedule:
    """Reads six fields."""
    seconds, minutes, hours, days, months, weekdays = (
        _values(word, kind, text) for word, kind in zip(words, _FIELDS, strict=True)
    )
    return CronSchedule(
        expression=" ".join(words).lower(),
        seconds=seconds,
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=weekdays,
        any_day=_starred(words[3]),
        any_weekday=_starred(words[5]),
    )


def _values(word: str, kind: _Field, text: str) -> frozenset[int]:
    return frozenset(value for part in word.split(",") for value in _part(part, kind, text))


def _starred(word: str) -> bool:
    """Whether any part of a field begins with a star; robfig/cron 1.2 counts `*/2` as one."""
    return any(part[0] in "*?" for part in word.split(","))


def _part(part: str, kind: _Field, text: str) -> range:
    """Reads one item of a field's list."""

    def wrong(rule: str, fix: str) -> ValueError:
        return ValueError(f"cron: {text!r}: {kind.name}: {rule}, got {part!r}. {fix}")

    values, slash, step_text = part.partition("/")
    matched = _PART.fullmatch(values)
    if not matched:
        raise wrong(
            "must be *, a value, a range such as 1-5, or a step such as */15",
            f"Values here: {kind.range}; no L, W or #.",
        )
    if matched["star"] == "?" and not kind.question_mark:
        raise wrong("? stands for a day only", "Write *.")
    if matched["star"]:
        low, high = kind.low, kind.high
    else:
        low = _value(matched["low"], kind, wrong)
        high = _value(matched["high"], kind, wrong) if matched["high"] else low
        if slash and not matched["high"]:
            high = kind.high  # robfig/cron: N/step is N-max/step
    if low > high:
        raise wrong("must not end before it begins", f"Write two ranges, e.g. {low}-{kind.high},{kind.low}-{high}.")
    if not slash:
        return range(low, high + 1)
    if not step_text.isascii() or not step_text.isdigit() or not 1 <= int(step_text) <= kind.high - kind.low:
        raise wrong(f"a step must be 1 to {kind.high - kind.low}", "Correct the number behind the slash.")
    return range(low, high + 1, int(step_text))


def _value(word: str, kind: _Field, wrong: Callable[[str, str], ValueError]) -> int:
    if word.lower() in kind.names:
        return kind.names[word.lower()]
    number = int(word) if word.isascii() and word.isdigit() else None
    if number is None or not kind.low <= number <= kind.high:
        fix = "Write 0 or sun for Sunday." if kind.names is _WEEKDAYS and number == 7 else "Correct it."
        raise wrong(f"must be {kind.range}", fix)
    return number
