"""What the terminal, the summary and junit.xml say."""

import io
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from rich.console import Console

from reports.document import README, replace_tables
from reports.folder import write_run
from reports.page import build_page
from reports.summary import build_junit, build_summary
from reports.terminal import (
    ProgressLine,
    format_progress,
    print_configuration,
    print_ending,
    print_result,
    print_settings,
    print_verdict,
)
from reports.wording import (
    describe_rule,
    format_bytes,
    format_clock,
    format_number,
    format_seconds,
    format_tick,
)
from sim.progress import Progress
from sim.result import InvariantOutcome, RunResult, Verdict
from sim.scenario import Setting
from tests.synthetic import RULES, build_election, build_fairs

HOUR_NS = 3600 * 10**9


def progress(**changes):
    values = {
        "virtual_ns": 15 * HOUR_NS, "start_ns": 8 * HOUR_NS, "end_ns": 22 * HOUR_NS,
        "midnight_ns": 0, "wall_s": 170.0, "backlog": 1041, "blocks": 5040,
        "final_count": 1_250_000, "offered_count": 1_251_041,
    }
    return Progress(**(values | changes))


def show(result):
    out = io.StringIO()
    console = Console(file=out, width=80, highlight=False)
    print_result(console, result)
    print_ending(console, result, "runs/x")
    return out.getvalue().splitlines()


@pytest.mark.parametrize("build", [lambda: build_election(2_000), build_fairs])
def test_results_fit_eighty_columns_and_begin_with_the_verdict(build):
    lines = show(build())
    assert "FAILED" in lines[0]
    assert all(len(line) <= 80 for line in lines), max(lines, key=len)


def test_the_last_line_reproduces_the_run_and_thresholds_show_what_was_measured():
    lines = show(build_election(2_000))
    assert lines[-1] == "veche run election-day --seed 7"
    rule = next(line for line in lines if "latency.final.p99_s" in line)
    assert "✗" in rule
    assert "min" in rule


def test_a_partial_result_is_marked():
    text = "\n".join(show(build_election(2_000, stopped=True)))
    assert "A partial result" in text
    assert "  exit code 105" in text


@pytest.mark.parametrize("stopped", [True, False])
def test_what_was_never_counted_cannot_differ(stopped):
    result = build_election(2_000, stopped=stopped)
    counted = replace(result, metrics={**result.metrics, "auditor.mismatch.count": 2_513})
    assert ("2,513 mismatches" in "\n".join(show(counted))) == (not stopped)


def test_nothing_is_judged_on_a_part_of_a_run():
    result = build_election(2_000, stopped=True)
    lines = show(result)
    assert next(line for line in lines if "lost.count == 0" in line).startswith("  — ")
    for text in ("\n".join(lines), build_summary(result), build_page(result)):
        assert text.count("not judged: stopped") == len(RULES)
    assert "| — | `lost.count == 0` | not judged: stopped |" in build_summary(result)
    suite = ElementTree.fromstring(build_junit(result))
    assert (suite.get("failures"), suite.get("skipped")) == ("1", str(len(RULES)))
    for case in suite:
        (verdict,) = list(case) or [None]
        if case.get("name").startswith("threshold"):
            assert (verdict.tag, verdict.get("message")) == ("skipped", "not judged: stopped")
        else:
            assert verdict is None or (verdict.tag, case.get("name")) == ("failure", "run")


def test_a_saved_result_tells_whose_exit_code_it_shows():
    out = io.StringIO()
    print_verdict(Console(file=out, width=80), build_election(2_000, stopped=True), saved=True)
    assert "the run's exit code was 105" in out.getvalue()


LONG = "a question with many words that are said again and " * 4


@pytest.mark.parametrize("width", [80, 50])
def test_what_does_not_fit_goes_on_below_itself(width):
    result = build_election(2_000)
    result = replace(result, note=LONG, verdict=Verdict.INVALID, invariants=(
        InvariantOutcome(name="nothing lost", passed=False, detail=LONG),
    ))
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False)
    print_configuration(console, (("scenario", LONG), ("seed", "1")))
    print_settings(console, {"the chain": (Setting(name="x", value="1", unit=LONG),)})
    print_result(console, result)
    lines = out.getvalue().splitlines()
    assert all(len(line) <= width for line in lines), max(lines, key=len)
    assert all(line == line.rstrip() for line in lines)
    assert all(line[:2] == "  " for line in lines if line)
    for start, indent in (
        ("  scenario  a", 12), ("  x  1  a", 8), ("   INVALID   A", 13),
        ("  ✗ nothing lost", 4),
    ):
        first = next(place for place, line in enumerate(lines) if line.startswith(start))
        below = lines[first + 1]
        assert len(below) - len(below.lstrip()) == indent


def test_a_progress_line_tells_time_speed_backlog_and_what_is_left():
    line = format_progress(progress(), bar=False)
    assert line == (
        "15:00:00  50 %  x148  1,250,000 final  5,040 blocks  backlog 1,041  2:50 left"
    )
    assert len(format_progress(progress(), bar=True)) <= 80


def test_progress_before_any_wall_time_has_no_speed():
    start = progress(virtual_ns=8 * HOUR_NS, wall_s=0.0)
    assert (start.share, start.speed_ratio, start.eta_s) == (0, 0, None)


def test_what_is_left_is_told_once_it_is_known():
    too_early = progress(virtual_ns=8 * HOUR_NS + HOUR_NS // 10)
    nobody_yet = progress(offered_count=0, final_count=0)
    for moment in (too_early, nobody_yet, progress(wall_s=0.0)):
        assert moment.eta_s is None
        assert "left" not in format_progress(moment, bar=False)
    later = progress(virtual_ns=8 * HOUR_NS + HOUR_NS // 5)
    assert later.eta_s == pytest.approx(170 * 69)
    assert format_progress(later, bar=True).endswith("195:30 left")


def test_plain_progress_comes_at_intervals_and_quiet_says_nothing():
    for quiet, count in ((False, 2), (True, 0)):
        out = io.StringIO()
        with ProgressLine(Console(file=out, width=80), quiet=quiet) as line:
            for second in (0, 1, 5, 9.9, 10.5):
                line.show(progress(wall_s=second))
        assert len(out.getvalue().splitlines()) == count


def test_the_last_moment_is_shown_however_soon_it_comes():
    out = io.StringIO()
    with ProgressLine(Console(file=out, width=80), quiet=False) as line:
        line.show(progress(wall_s=0))
        last = progress(wall_s=1)
        line.show(replace(last, end_ns=last.virtual_ns))
    assert "100 %" in out.getvalue().splitlines()[-1]


def test_a_cluster_s_results_have_no_words_of_the_simulator_s():
    simulated = build_election(2_000)
    real = replace(simulated, host="cluster")
    words = ("digest", "crypto floor", "engine", "theory", "Digest")
    said = "\n".join([*show(simulated), build_summary(simulated)])
    assert [word for word in words if word in said] == list(words)
    said = "\n".join([*show(real), build_summary(real)]).replace("wall_over_floor", "")
    assert [word for word in words if word in said] == []


def test_a_terminal_s_progress_line_stays_in_place():
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True)
    with ProgressLine(console, quiet=False) as line:
        line.show(progress(wall_s=0.0))
        line.show(progress(wall_s=0.3))
    assert "\r" in out.getvalue()
    assert "\n15:00" not in out.getvalue()


def test_a_summary_has_verdict_rules_and_the_reproducing_line():
    text = build_summary(build_election(2_000))
    assert text.startswith("### election-day: Failed\n")
    assert "| ✗ | `latency.final.p99_s <= 30` |" in text
    assert "veche run election-day --seed 7" in text


def test_junit_has_a_case_for_the_run_each_invariant_and_each_threshold():
    suite = ElementTree.fromstring(build_junit(build_election(2_000)))
    assert suite.get("tests") == "12"
    assert suite.get("failures") == "1"
    (failure,) = suite.iter("failure")
    assert failure.get("message").startswith("measured ")


def test_junit_has_a_case_even_without_thresholds_and_fails_it_for_a_partial_run():
    suite = ElementTree.fromstring(build_junit(build_election(2_000, rules=())))
    assert next(case.get("name") for case in suite) == "run"
    assert suite.get("failures") == "0"
    stopped = ElementTree.fromstring(build_junit(build_election(2_000, rules=(), stopped=True)))
    assert stopped.get("failures") == "1"


def test_a_run_folder_holds_the_seven_files_and_loads(tmp_path):
    result = build_fairs()
    write_run(result, tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == [
        "details.json", "histograms.npz", "junit.xml", "report.html", "result.json",
        "series.npz", "summary.md",
    ]
    assert RunResult.load(tmp_path / "run") == result


def test_the_readme_s_tables_are_the_registry_s():
    text = README.read_text(encoding="utf-8")
    assert replace_tables(text) == text, "run python -m reports.document"


@pytest.mark.parametrize(("text", "expected"), [
    (format_seconds(0), "0 s"), (format_seconds(0.000_34), "340 µs"),
    (format_seconds(0.042), "42 ms"), (format_seconds(5.308), "5.31 s"),
    (format_seconds(99.99), "100 s"), (format_seconds(125.2), "2 min 05 s"),
    (format_seconds(50_400), "14 h"), (format_seconds(50_520), "14 h 02 min"),
    (format_seconds(0.0999), "0.10 s"), (format_tick(0.5), "0.5 s"), (format_tick(10), "10 s"),
    (format_tick(300), "5 min"), (format_bytes(512), "512 B"),
    (format_bytes(1_910_000_000), "1.91 GB"), (format_bytes(3e15), "3000 TB"),
    (format_clock(32_405.9), "09:00:05"), (format_clock(90_000), "25:00:00"),
    (format_number(1_500_000), "1,500,000"), (format_number(29.84), "29.8"),
    (format_number(0.97), "0.970"), (format_number(0.0042), "0.0042"),
    (describe_rule("latency.final.p99_s <= 30"), "≤ 30 s"),
    (describe_rule("rss_peak_mb < 4000"), "< 4 GB"),
    (describe_rule("lost.count == 0"), "= 0"),
])
def test_numbers_read_well(text, expected):
    assert text == expected
