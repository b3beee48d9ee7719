"""``veche calibrate``: the table of costs of this machine, for ``veche run --costs``.

Rounds go through all kinds of work one after the other, so that what disturbs the machine for
a while disturbs one round of each kind and no kind altogether. A price is the median of its
rounds; the spread is the distance of its quartiles over that. Prices are those of a core that
works alone; in the same rounds it is measured what cores at work take from one another.
"""

import ctypes
import importlib.util
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.contention import ABOUT, NAME, Contention, Round, choose_calm
from bench.disk import make_disk_trials, measure_in, measure_sync_ns
from bench.figures import Figure, Json, describe_machine
from bench.handling import make_handle_trial
from bench.hosting import make_client_trials, make_index_trial, run_relay
from bench.linking import make_link_trial
from bench.processors import count_cores
from bench.trials import (
    Sample,
    Trial,
    make_crypto_trials,
    make_decode_trial,
    make_sample,
    make_state_trials,
)
from node.work import WorkKind
from reports.provenance import read_commit, read_versions
from sim.costs import FROM_PROFILE
from sim.errors import ConfigurationError

BALLOTS = 1_000
RECORDS = 200_000
DIGITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Upon how many records a block of how many ballots is executed."""

    ballots: int = BALLOTS
    records: int = RECORDS


def measure_costs(
    repeats: int, folder: Path, tell: Callable[[str], None], size: Size | None = None
) -> list[Figure]:
    """A figure in ns for each kind of work, named as in the table, and that of contention.

    ``tell`` hears of steps. Raises ConfigurationError if the disk in ``folder`` cannot be
    measured.
    """
    assert repeats >= 2, "a spread needs two"
    measure_in(folder, measure_sync_ns)  # before all else, for whoever named a wrong one
    tell("preparing a city, a state and ballots ...")
    size = size or Size()
    sample = make_sample(size.ballots, size.records)
    rounds: list[Round] = []
    # the processes first: they would inherit what the trials open
    with Contention(sample, count_cores()) as contention, \
            prepare_trials(folder, sample, size.records) as prepared:
        trials = sorted(prepared, key=lambda trial: trial.kind)
        assert [trial.kind for trial in trials] == list(WorkKind), "each kind once"
        values: dict[WorkKind, list[float]] = {trial.kind: [] for trial in trials}
        for number in range(1, repeats + 1):
            tell(f"measuring, round {number} of {repeats} ...")
            for trial in trials:
                values[trial.kind].append(trial.measure())
            rounds.append(contention.measure())
    return [*(
        Figure(name=get_name(trial.kind), unit="ns", values=tuple(values[trial.kind]),
               about=trial.about)
        for trial in trials
    ), Figure(name=NAME, unit="", values=choose_calm(rounds), about=ABOUT)]


@contextmanager
def prepare_trials(folder: Path, sample: Sample, records: int) -> Iterator[list[Trial]]:
    """One for each kind, to be used while a relay runs that some of them ask."""
    decode = make_decode_trial(sample)
    handle = make_handle_trial(decode)
    crypto = make_crypto_trials(sample)
    (check,) = [trial for trial in crypto if trial.kind is WorkKind.CHECK_SIGNATURE]
    with run_relay(folder) as relay:
        yield [
            *crypto, decode, *make_state_trials(sample, records), handle,
            *make_disk_trials(folder), make_index_trial(sample, folder),
            *make_client_trials(relay, check, handle), make_link_trial(sample),
        ]


def get_name(kind: WorkKind) -> str:
    """The kind as the table names it."""
    return kind.name.lower()


def compute_spread(figure: Figure) -> float:
    """The distance between the quartiles over the median; 0 for what takes no time."""
    low, _, high = statistics.quantiles(figure.values, n=4, method="inclusive")
    return (high - low) / figure.median if figure.median else 0.0


def build_table(figures: Sequence[Figure], name: str, checkout: Path) -> dict[str, Json]:
    """The table as ``sim.costs.load_costs`` reads it, and how each price was measured.

    ``spread_ratio`` is that of the priced kind whose rounds differed most.
    """
    (contention,) = [figure for figure in figures if figure.name == NAME]
    figures = [figure for figure in figures if figure is not contention]
    prices = {figure.name: round_price(figure.median) for figure in figures}
    recorded = {f"{get_name(kind)}_ns": prices.pop(get_name(kind)) for kind in FROM_PROFILE}
    spreads = [compute_spread(figure) for figure in figures if figure.name in prices]
    versions: dict[str, Json] = {
        name: text for name, text in read_versions().items()
        if name in ("python", "pynacl", "msgpack")
    }
    versions |= {"libsodium": read_libsodium(), "veche": read_commit(checkout)}
    return {
        "name": name,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": describe_machine(),
        "versions": versions,
        "spread_ratio": round(max(spreads), 3),
        "ns": dict(prices),
        **recorded,
        "contention": describe_contention(contention),
        "measured": {figure.name: describe_figure(figure) for figure in figures},
    }


def describe_contention(figure: Figure) -> Json:
    """As ``sim.costs.Contention``. Below 1 is noise: cores do not help one another."""
    return {
        "ratio": max(1.0, round_price(figure.median)),
        "spread_ratio": round(compute_spread(figure), 3), "about": figure.about,
    }


def describe_figure(figure: Figure) -> Json:
    """How a price was measured: what a unit is, and the rounds."""
    return {
        "about": figure.about, "repeats": len(figure.values),
        "min": round_price(min(figure.values)), "max": round_price(max(figure.values)),
        "spread_ratio": round(compute_spread(figure), 3),
    }


def round_price(ns: float) -> float:
    """Four significant digits: more were noise, and a table should be readable."""
    return float(f"{ns:.{DIGITS}g}")


def read_libsodium() -> str:
    """Its version; PyNaCl's binary wheels hold a copy that does not tell."""
    spec = importlib.util.find_spec("nacl._sodium")
    try:
        library = ctypes.CDLL(spec.origin if spec is not None else None)
        ask = library.sodium_version_string
    except (OSError, AttributeError):
        return f"as bundled with pynacl {read_versions()['pynacl']}"
    ask.restype = ctypes.c_char_p
    return str(ask().decode())


def choose_path(out: Path | None) -> Path:
    """``out``, or the first costs-N.json that is free. ConfigurationError if it is taken."""
    if out is None:
        number = 1
        while Path(f"costs-{number}.json").exists():
            number += 1
        return Path(f"costs-{number}.json")
    if out.exists():
        raise ConfigurationError("--out", str(out), "it exists; name a new file")
    if not out.parent.is_dir():
        raise ConfigurationError("--out", str(out), "there is no such folder")
    return out


def write_table(table: dict[str, Json], path: Path) -> None:
    """Write it as a new file. Raises ConfigurationError if that is not possible."""
    text = json.dumps(table, indent=2, ensure_ascii=False) + "\n"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        remedy = f"it cannot be written: {error.strerror}"
        raise ConfigurationError("--out", str(path), remedy) from error
