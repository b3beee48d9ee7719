"""Every error of the simulator, each with the exit code that it stands for.

A message is one line that names the value and the remedy. A broken assertion is our own bug;
a fault of a virtual peer is an event, never an error.
"""

import difflib
from collections.abc import Iterable
from typing import ClassVar

LISTED_MAX = 12
LIKE_RATIO = 0.7
"""difflib's own 0.6 takes "for" for "factor"."""


class SimError(Exception):
    """Base of all errors of ``sim``; ``exit_code`` is what the command line returns."""

    exit_code: ClassVar[int] = 1


class ConfigurationError(SimError):
    """A value that a user gave cannot be used; ``remedy`` says what can."""

    exit_code = 104

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field}={value!r}: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy


def require_whole(field: str, value: object, low: int, high: int) -> None:
    """ConfigurationError unless the value is an int of this range; True is none."""
    if type(value) is not int or not low <= value <= high:
        raise ConfigurationError(field, value, f"give a whole number from {low} to {high}")


def require_number(field: str, value: float, low: float, high: float) -> None:
    """ConfigurationError unless the value is a number of this range."""
    if type(value) not in (int, float) or not low <= value <= high:
        raise ConfigurationError(field, value, f"give a number from {low:g} to {high:g}")


def suggest(name: str, known: Iterable[str], *, listed_in: str = "") -> str:
    """The remedy for an unknown name: "did you mean X?" if one is near, else what is known.

    ``listed_in`` says where all are listed, for more than anyone reads in an error.
    """
    names = list(known)
    near = difflib.get_close_matches(name.lower(), names, 1, LIKE_RATIO)
    if near:
        return f"did you mean {near[0]}?"
    shown = names if len(names) <= LISTED_MAX or not listed_in else names[:LISTED_MAX]
    more = "" if shown == names else f", ... (all {len(names)}: {listed_in})"
    return f"known: {', '.join(shown)}{more}"


class ScenarioScriptError(SimError):
    """A user's scenario file or script raised; ``error`` is what it raised, and where."""

    exit_code = 107

    def __init__(self, path: str, error: BaseException) -> None:
        line = _find_line(path, error)
        place = path if line is None else f"{path}:{line}"
        super().__init__(f"{place}: {type(error).__name__}: {error}")
        self.path = path
        self.error = error
        self.line = line


class InvariantBroken(SimError):
    """The chain broke a promise; ``invariant`` names it, ``at_ns`` is the virtual instant."""

    exit_code = 110

    def __init__(self, invariant: str, at_ns: int, detail: str) -> None:
        super().__init__(f"{invariant} broken at {at_ns} ns: {detail}")
        self.invariant = invariant
        self.at_ns = at_ns
        self.detail = detail


def _find_line(path: str, error: BaseException) -> int | None:
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


class SignaturesUnchecked(SimError):
    """A run has ended, and signatures on which it rests were not checked."""

    def __init__(self, count: int, waited_s: float) -> None:
        super().__init__(
            f"the notary has not checked {count} signatures and made no progress for "
            f"{waited_s:g} s; run again with less beside it"
        )
        self.count = count
