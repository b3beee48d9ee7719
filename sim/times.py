"""Times of day as people write them."""

import re

from sim.errors import ConfigurationError


def parse_time_ns(field: str, text: str) -> int:
    """Nanoseconds since local midnight of "09:30" or "09:30:15"; beyond 24:00 is tomorrow."""
    match = re.fullmatch(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?", text)
    if match is None:
        raise ConfigurationError(field, text, "give a local time such as 09:30")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return (hours * 3_600 + minutes * 60 + seconds) * 1_000_000_000
