"""Times of day and durations: read as people write them, and written so that they read back."""

import re

from sim.errors import ConfigurationError

UNITS_NS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
SECOND_NS = UNITS_NS["s"]
HOUR_NS = UNITS_NS["h"]

_TIME = re.compile(r"([0-9]{1,4}):([0-5][0-9])(?::([0-5][0-9]))?")
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")


def parse_time_ns(field: str, text: str, *, hours_max: int = 24) -> int:
    """Nanoseconds since local midnight of "09:30" or "09:30:15", up to 24:00.

    More ``hours_max`` are for tables that go on into later days. A scenario's times end at
    24:00: beyond it they were slips, and meant another day than their author thought.
    """
    assert hours_max >= 24
    match = _TIME.fullmatch(text.strip())
    if match is not None:
        hours, minutes, seconds = (int(part or 0) for part in match.groups())
        at_ns = ((hours * 60 + minutes) * 60 + seconds) * SECOND_NS
        if at_ns <= hours_max * HOUR_NS:
            return at_ns
    remedy = f"give a local time from 00:00 to {hours_max}:00, such as 09:30"
    raise ConfigurationError(field, text, remedy)


def parse_duration_ns(field: str, text: str) -> int:
    """"1h30m", "20m", "90s", "500ms" as nanoseconds."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ConfigurationError(field, text, "give a duration such as 20m, 90s or 500ms")
    return sum(round(float(number) * UNITS_NS[unit]) for number, unit in parts)


def format_time(ns: int) -> str:
    """"09:30", or "09:30:15" if it is not a whole minute; a part of a second is left out."""
    assert ns >= 0
    seconds = ns // SECOND_NS
    text = f"{seconds // 3_600:02d}:{seconds // 60 % 60:02d}"
    return f"{text}:{seconds % 60:02d}" if seconds % 60 else text


def format_duration(ns: int) -> str:
    """"1h30m", "90s" as "1m30s", "500ms"; a part of a millisecond is left out."""
    assert ns >= 0
    parts = []
    for unit in ("h", "m", "s", "ms"):
        count, ns = divmod(ns, UNITS_NS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
