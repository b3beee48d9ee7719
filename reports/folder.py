"""The run folder: the result's own files, and the three written for people and machines."""

from pathlib import Path

from reports.page import build_page
from reports.summary import build_junit, build_summary
from sim.errors import ConfigurationError
from sim.result import RunResult


def write_run(result: RunResult, folder: Path) -> None:
    """Save the result into a new or empty folder, with its page and summaries.

    Raises ConfigurationError if the folder holds something or cannot be written.
    """
    result.save(folder)
    write_reports(result, folder)


def write_reports(result: RunResult, folder: Path) -> None:
    """Write report.html, summary.md and junit.xml again beside a saved result."""
    files = (
        ("report.html", build_page(result)), ("summary.md", build_summary(result)),
        ("junit.xml", build_junit(result)),
    )
    try:
        for name, text in files:
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        remedy = f"it cannot be written: {error.strerror}"
        raise ConfigurationError("folder", str(folder), remedy) from error
