"""summary.md and junit.xml, for continuous integration, from a saved result."""

from collections import Counter
from xml.etree import ElementTree

from reports.wording import (
    SIGNS,
    VERDICT_WORDS,
    describe_host,
    describe_measured,
    describe_verdict,
    format_metric,
    is_simulated,
)
from sim.result import RunResult, Verdict

HEADLINE = (
    "offered.count", "final.count", "lost.count", "latency.final.p50_s", "latency.final.p99_s",
    "throughput.final.peak_per_s", "blocks.count", "network.bytes", "wall_s",
)


def build_summary(result: RunResult) -> str:
    """Markdown for a pull request: verdict, thresholds, a few figures, how to run it again."""
    lines = [
        f"### {result.scenario}: {VERDICT_WORDS[result.verdict]}", "",
        describe_verdict(result), "", f"Host: {describe_host(result)}.", "",
        "| | rule | measured |", "|---|---|---:|",
    ]
    for outcome in result.thresholds:
        measured = describe_measured(result, outcome)
        lines.append(f"| {SIGNS[outcome.passed]} | `{outcome.rule}` | {measured} |")
    for invariant in result.invariants:
        sign = SIGNS[invariant.passed]
        lines.append(f"| {sign} | {_cell(invariant.name)} | {_cell(invariant.detail)} |")
    lines += ["", "| metric | value |", "|---|---:|"]
    lines += [
        f"| `{name}` | {format_metric(name, result.metrics[name])} |"
        for name in HEADLINE
        if name in result.metrics
    ]
    digest = f"Digest `{result.digest}`, commit" if is_simulated(result) else "Commit"
    lines += ["", f"{digest} `{result.commit}`.", ""]
    if result.reproduce:
        lines += ["```", result.reproduce, "```", ""]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def build_junit(result: RunResult) -> str:
    """One case for the run, one per invariant and threshold; failures say the measured.

    Thresholds that were not judged are skipped: the run's own case fails, and says why.
    """
    cases = [("run", "failure", _complete(result))]
    cases += [
        (
            f"invariant: {outcome.name}", "failure",
            "" if outcome.passed else outcome.detail or "broken",
        )
        for outcome in result.invariants
    ]
    for outcome in result.thresholds:
        measured = describe_measured(result, outcome)
        name = f"threshold: {outcome.rule}"
        if outcome.passed is None:
            cases.append((name, "skipped", measured))
        else:
            cases.append((name, "failure", "" if outcome.passed else f"measured {measured}"))
    counts = Counter(kind for _, kind, message in cases if message)
    suite = ElementTree.Element(
        "testsuite", name=f"veche.{result.scenario}", tests=str(len(cases)),
        failures=str(counts["failure"]), errors="0", skipped=str(counts["skipped"]),
        time=f"{result.metrics.get('wall_s', 0):.3f}",
    )
    for name, kind, message in cases:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"veche.{result.scenario}", name=name
        )
        if message:
            told = ElementTree.SubElement(case, kind, message=message)
            told.text = result.reproduce if kind == "failure" else None
    ElementTree.indent(suite)
    text = ElementTree.tostring(suite, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _complete(result: RunResult) -> str:
    whole = result.verdict not in (Verdict.STOPPED, Verdict.INVALID)
    return "" if whole else describe_verdict(result)
