"""report.html: one self-contained page for a person, from a saved result.

Nothing is loaded from elsewhere and no script runs. The bytes repeat for the same result.
"""

import base64
import html
import json
from pathlib import Path

from reports.figures import draw_blocks, draw_cdf, draw_flow, draw_latency, draw_stages
from reports.tables import (
    build_glance,
    build_invariants,
    build_metrics,
    build_processes,
    build_slowest,
    build_stages,
    build_table,
    build_theory,
    build_thresholds,
    build_traffic,
)
from reports.wording import (
    VERDICT_WORDS,
    describe_host,
    describe_verdict,
    format_clock,
    format_number,
    format_seconds,
    is_simulated,
)
from sim.result import RunResult, Verdict

STYLE = Path(__file__).with_name("page.css")

VERDICT_SIGNS = {
    Verdict.PASSED: "✓", Verdict.FAILED: "✗", Verdict.BROKEN: "✗", Verdict.STOPPED: "‖",
    Verdict.INVALID: "?",
}


def build_page(result: RunResult) -> str:
    """The whole page as text."""
    sections = (
        ("judgement", "Judgement", _judgement(result)),
        ("load", "Load and backlog", draw_flow(result)),
        ("latency", "Latency", draw_latency(result) + draw_cdf(result)),
        ("way", "Where the time goes", _way(result)),
        ("chain", "Blocks and propagation", draw_blocks(result) + _propagation(result)),
        ("network", "Traffic", _traffic(result)),
        ("processes", "Processes", _processes(result)),
        ("slowest", "The slowest", build_slowest(result)),
        ("theory", "Theory", _theory(result)),
        ("provenance", "Provenance", _provenance(result)),
    )
    shown = [(name, title, body) for name, title, body in sections if body]
    links = " ".join(f'<a href="#{name}">{title}</a>' for name, title, _ in shown)
    body = "".join(
        f'<section id="{name}"><h2>{title}</h2>{content}</section>'
        for name, title, content in shown
    )
    title = html.escape(f"{result.scenario} · {VERDICT_WORDS[result.verdict]} · Veche")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{title}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style></head>\n"
        f"<body><main>{_header(result)}{build_glance(result)}<nav>{links}</nav>{body}</main>"
        "</body></html>\n"
    )


def _header(result: RunResult) -> str:
    question = partial = ""
    if result.question:
        question = f'<p class="question">{html.escape(result.question)}</p>'
    if result.verdict is Verdict.STOPPED:
        partial = (
            '<p class="partial">Partial run: it was stopped before its end. Every figure below '
            "covers only what had happened by then, and nothing here is a verdict.</p>"
        )
    host = html.escape(result.host)
    return (
        f'<header><p class="brand">Veche <span>run report, {host}</span></p>'
        f"<h1>{html.escape(result.scenario)}</h1>{question}"
        f'<div class="verdict {result.verdict.value}"><b>{VERDICT_SIGNS[result.verdict]}</b>'
        f"<div><strong>{VERDICT_WORDS[result.verdict]}</strong>"
        f"<p>{html.escape(describe_verdict(result))}</p></div></div>{partial}</header>"
    )


def _judgement(result: RunResult) -> str:
    rows = [
        (html.escape(fault.label), format_clock(fault.start_s), format_clock(fault.end_s))
        for fault in result.faults
    ]
    faults = "<h3>Faults</h3>" + build_table(("Fault", "From", "Until"), rows) if rows else ""
    return (
        "<h3>Thresholds</h3>" + build_thresholds(result)
        + ("<h3>Invariants</h3>" + build_invariants(result) if result.invariants else "")
        + faults
    )


def _way(result: RunResult) -> str:
    if result.stages and not result.metrics.get("final.count", 1):
        return f"<p>No {html.escape(result.subject)} was final: there is no way to show.</p>"
    return draw_stages(result) + build_stages(result)


def _propagation(result: RunResult) -> str:
    rows = []
    for name, label in (
        ("blocks.interval", "between one block and the next"),
        ("blocks.propagation", "from final until a peer holds it"),
    ):
        parts = [result.metrics.get(f"{name}.{part}") for part in ("p50_s", "p95_s", "p99_s")]
        if any(part is not None for part in parts):
            shown = ["—" if part is None else format_seconds(part) for part in parts]
            rows.append((label, *shown))
    return build_table(("", "p50", "p95", "p99"), rows, "-nnn") if rows else ""


def _traffic(result: RunResult) -> str:
    kinds = (("role", "By role"), ("region", "By region"))
    return "".join(build_traffic(result, kind, title) for kind, title in kinds)


def _processes(result: RunResult) -> str:
    table = build_processes(result)
    if not table:
        return ""
    asked = result.metrics.get("cluster.reads.left_out.count", 0)
    reads = (
        f"<p>{format_number(asked)} requests of people who only read were left out: they are "
        "more than one machine has room for beside the nodes.</p>" if asked else ""
    )
    return (
        "<p>This was a cluster: real processes on one machine, over TCP"
        f"{_describe_speed(result)}. Processor time by "
        "kind of work, in microseconds per final transaction of the whole run, starts and "
        "preparations included; <em>other</em> is the event loop, links, HTTP and the "
        f"garbage collector.</p>{table}{reads}"
    )


def _describe_speed(result: RunResult) -> str:
    config = result.config
    speed = config.get("speed") if isinstance(config, dict) else None
    if not isinstance(speed, int | float) or speed == 1:
        return ""
    return (f". All times on this page are the city's, which passed {speed:g} times as fast "
            "as the clock; only processor and wall time are the clock's")


def _theory(result: RunResult) -> str:
    table = build_theory(result)
    if not table:
        return ""
    if not is_simulated(result):
        return (
            "<p>These laws hold for any such system over a long time. This run was a short "
            "part of a day, in which chance and the first and last who wait weigh much: the "
            "ratios inform, and nothing is judged by them.</p>" + table
        )
    return (
        "<p>A simulator can be wrong without looking wrong. These laws hold for any such "
        "system, whatever its rules, so a ratio far from one would be an error of ours.</p>"
        + table
    )


def _provenance(result: RunResult) -> str:
    versions = ", ".join(f"{name} {text}" for name, text in sorted(result.versions.items()))
    facts = (
        ("Scenario", result.scenario), ("Host", describe_host(result)),
        ("Seed", str(result.seed)), ("Commit", result.commit),
        ("Configuration", result.config_hash),
        *((
            ("Cost table", f"{result.costs} {result.costs_hash}".rstrip()),
            ("Simulated over measured", result.fidelity), ("Journal digest", result.digest),
        ) if is_simulated(result) else ()),
        ("Versions", versions),
    )
    rows = "".join(
        f"<dt>{name}</dt><dd>{html.escape(value)}</dd>" for name, value in facts if value
    )
    reproduce = ""
    if result.reproduce:
        reproduce = f"<p>The same run again:</p><pre>{html.escape(result.reproduce)}</pre>"
    config = html.escape(json.dumps(result.config, indent=2, ensure_ascii=False))
    return (
        f'<dl class="facts">{rows}</dl>{reproduce}'
        + _fold("All metrics", build_metrics(result))
        + _fold("Configuration", f"<pre>{config}</pre>")
        + f"<p>{_download(result)}</p>"
    )


def _fold(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>{content}</details>"


def _download(result: RunResult) -> str:
    # in the page itself: whoever is sent the page alone has the numbers too
    text = json.dumps(result.build_json(), indent=2, ensure_ascii=False) + "\n"
    data = base64.b64encode(text.encode()).decode()
    link = f"data:application/json;base64,{data}"
    return f'<a download="result.json" href="{link}">Download result.json</a>'
