"""summary.md and junit.xml, for continuous integration, from a saved result."""

from xml.etree import ElementTree

from reports.wording import VERDICT_WORDS, describe_verdict, format_metric
from sim.result import RunResult, Verdict
from sim.thresholds import Threshold

HEADLINE = (
    "offered.count", "final.count", "lost.count", "latency.final.p50_s", "latency.final.p99_s",
    "throughput.final.peak_per_s", "blocks.count", "network.bytes", "wall_s",
)


def build_summary(result: RunResult) -> str:
    """Markdown for a pull request: verdict, thresholds, a few figures, how to run it again."""
    lines = [
        f"### {result.scenario}: {VERDICT_WORDS[result.verdict]}", "",
        describe_verdict(result), "", "| | rule | measured |", "|---|---|---:|",
    ]
    for outcome in result.thresholds:
        measured = format_metric(Threshold(outcome.rule).metric, outcome.actual)
        lines.append(f"| {_sign(passed=outcome.passed)} | `{outcome.rule}` | {measured} |")
    for invariant in result.invariants:
        sign = _sign(passed=invariant.passed)
        lines.append(f"| {sign} | {_cell(invariant.name)} | {_cell(invariant.detail)} |")
    lines += ["", "| metric | value |", "|---|---:|"]
    lines += [
        f"| `{name}` | {format_metric(name, result.metrics[name])} |"
        for name in HEADLINE
        if name in result.metrics
    ]
    lines += ["", f"Digest `{result.digest}`, commit `{result.commit}`.", ""]
    if result.reproduce:
        lines += ["```", result.reproduce, "```", ""]
    return "\n".join(lines)


def _sign(*, passed: bool) -> str:
    return "✓" if passed else "✗"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def build_junit(result: RunResult) -> str:
    """One case for the run, one per invariant and threshold; failures say the measured."""
    cases = [("run", _complete(result))]
    cases += [
        (f"invariant: {outcome.name}", "" if outcome.passed else outcome.detail or "broken")
        for outcome in result.invariants
    ]
    for outcome in result.thresholds:
        metric = Threshold(outcome.rule).metric
        measured = "" if outcome.passed else f"measured {format_metric(metric, outcome.actual)}"
        cases.append((f"threshold: {outcome.rule}", measured))
    failures = sum(bool(message) for _, message in cases)
    suite = ElementTree.Element(
        "testsuite", name=f"veche.{result.scenario}", tests=str(len(cases)),
        failures=str(failures), errors="0", skipped="0",
        time=f"{result.metrics.get('wall_s', 0):.3f}",
    )
    for name, message in cases:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"veche.{result.scenario}", name=name
        )
        if message:
            ElementTree.SubElement(case, "failure", message=message).text = result.reproduce
    ElementTree.indent(suite)
    text = ElementTree.tostring(suite, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _complete(result: RunResult) -> str:
    whole = result.verdict not in (Verdict.STOPPED, Verdict.INVALID)
    return "" if whole else describe_verdict(result)
