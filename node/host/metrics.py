"""Counters in Prometheus' text format (exposition format 0.0.4)."""

import re
from collections.abc import Iterable, Mapping

from node.host.desk import Desk
from node.host.guard import HttpStats
from node.host.index import Index
from node.inputs import Role

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Families of the host's counters whose last part is free text and so becomes a label.
LABELLED = {"refused": "reason", "worked": "kind"}

_OTHER = re.compile(r"[^a-zA-Z0-9]+")


def build_metrics(desk: Desk, index: Index, stats: HttpStats) -> str:
    """The text; a line for each value, each family told once."""
    chain = desk.chain
    roles = [role for _, role in desk.peers()]
    lines = [
        *_family("height", "gauge", "height of the last final block", [("", chain.height)]),
        *_family("head_time_seconds", "gauge", "time of the last final block, since 1970",
                 [("", chain.head.time_ns / 1e9)]),
        *_family("indexed_height", "gauge", "how far receipts can be found",
                 [("", index.height)]),
        *_family("is_faulty", "gauge", "1 when the node is broken beyond repair",
                 [("", int(desk.has_fault is not None))]),
        *_family("linked_peers", "gauge", "peers by role", [
            (_label(role=role.value), roles.count(role)) for role in Role
        ]),
        *_family("http_requests_total", "counter", "answers by operation and status", [
            (_label(operation=name, status=str(status)), count)
            for (name, status), count in sorted(stats.answers.items())
        ]),
        *_family("http_refusals_total", "counter", "requests and connections turned away", [
            (_label(reason=reason), count) for reason, count in sorted(stats.refusals.items())
        ]),
        *_family("http_in_flight", "gauge", "requests being answered",
                 [("", stats.in_flight)]),
        *_family("http_connections", "gauge", "open connections", [("", stats.connections)]),
        *_build_host(desk.counters()),
    ]
    return "\n".join(lines) + "\n"


def _build_host(counters: Mapping[str, float]) -> Iterable[str]:
    """The host's own, whose kind is not told; a dotted name becomes one with underscores."""
    families: dict[str, dict[str, float]] = {}
    for name, value in sorted(counters.items()):
        head, _, rest = name.partition(".")
        label = LABELLED.get(head)
        if label is None or not rest:
            family, labels = _clean(name), ""
        else:
            family, labels = _clean(head), _label(**{label: rest})
        values = families.setdefault(f"host_{family}", {})
        # Two names may become one; then their sum is the only figure that is true of both.
        values[labels] = values.get(labels, 0) + value
    for family, values in families.items():
        yield from _family(family, "untyped", "counted by the host", values.items())


def _clean(name: str) -> str:
    return _OTHER.sub("_", name).strip("_").lower()


def _label(**labels: str) -> str:
    parts = ",".join(f'{name}="{_escape(text)}"' for name, text in labels.items())
    return "{" + parts + "}"


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _family(
    name: str, kind: str, about: str, values: Iterable[tuple[str, float]]
) -> Iterable[str]:
    yield f"# HELP veche_{name} {about}"
    yield f"# TYPE veche_{name} {kind}"
    for labels, value in values:
        shown = str(value) if isinstance(value, int) else repr(value)
        yield f"veche_{name}{labels} {shown}"
