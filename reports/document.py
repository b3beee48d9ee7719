"""Keeps the tables of reports/README.md the registry's own: ``python -m reports.document``."""

from pathlib import Path

from sim.metrics import LEVELS, RATES
from sim.registry import DISTRIBUTIONS, PARTS, REGISTRY

README = Path(__file__).with_name("README.md")
BEGIN = "<!-- metrics: written by python -m reports.document -->"
END = "<!-- end of metrics -->"


def build_tables() -> str:
    """Markdown tables of all metrics, distributions and series."""
    inside = {f"{name}.{part}" for name in DISTRIBUTIONS for part in PARTS}
    lines = ["| metric | unit | better | what it says |", "|---|---|---|---|"]
    lines += [
        f"| `{name}` | {metric.unit} | {metric.better} | {metric.about} |"
        for name, metric in REGISTRY.items()
        if name not in inside
    ]
    parts = ", ".join(f"`.{part}`" for part in PARTS)
    lines += ["", f"Each distribution has {parts}:", ""]
    lines += ["| distribution | from … to |", "|---|---|"]
    lines += [f"| `{name}` | {about} |" for name, about in DISTRIBUTIONS.items()]
    lines += ["", "| series | what it says |", "|---|---|"]
    lines += [f"| `{name}_per_s` | {about} |" for name, about in RATES.items()]
    lines += [f"| `{name}` | the level behind `{peak}` |" for name, peak in LEVELS.items()]
    return "\n".join(lines) + "\n"


def replace_tables(text: str) -> str:
    """The document with its tables written anew."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    assert found, "the document has lost its markers"
    return f"{before}{BEGIN}\n\n{build_tables()}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(replace_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
