"""README: its Python is executed, its commands exist, and the first of them really runs."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import veche
from sim.scenario import Scenario, load_scenario

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8") if README.is_file() else ""
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELLS = ("console", "sh", "shell", "bash")

needs_readme = pytest.mark.skipif(
    len(TEXT.splitlines()) < 5, reason="README.md is not written yet"
)


def list_blocks(*languages):
    return [body for language, body in BLOCK.findall(TEXT) if language in languages]


def list_commands():
    """Words of each line that calls us, without prompt, comment or the folder of .venv."""
    for block in list_blocks(*SHELLS):
        for line in block.replace("\\\n", " ").splitlines():
            try:
                words = shlex.split(line.strip().removeprefix("$ "), comments=True)
            except ValueError:  # the output of a command
                continue
            if words and Path(words[0]).name == "veche":
                yield words[1:]


COMMANDS = list(list_commands())


@needs_readme
def test_it_has_commands_and_a_snippet():
    assert COMMANDS
    assert list_blocks("python")
    assert "make run" in TEXT
    assert "make test" in TEXT
    assert "not modelled" in TEXT.lower()


@pytest.mark.parametrize("words", COMMANDS, ids=shlex.join)
def test_its_commands_are_understood(words):
    if not words or words[0].startswith("-"):
        return
    command = veche.cli.commands[words[0]]
    if "--help" in words:
        return
    context = command.make_context(words[0], words[1:])
    name = context.params.get("scenario")
    if name is None or str(name).startswith((".", "/", "my")):
        return
    settings = veche.parse_settings(context.params["settings"])
    load_scenario(name).with_overrides(
        users=context.params["users"], peers=context.params.get("peers"),
        seed=context.params["seed"], engine=context.params.get("engine"), settings=settings,
        faults=context.params["faults"],
    )


@needs_readme
@pytest.mark.slow
def test_its_snippets_are_executed(tmp_path, monkeypatch):
    """A snippet may define a scenario, which then must load by its path as a user's file."""
    monkeypatch.chdir(tmp_path)
    found = 0
    for number, body in enumerate(list_blocks("python")):
        path = tmp_path / f"snippet{number}.py"
        path.write_text(body, encoding="utf-8")
        scope = {"__name__": "snippet", "__file__": str(path)}
        exec(compile(body, str(path), "exec"), scope)  # the README is ours
        if isinstance(scope.get("scenario"), Scenario):
            assert load_scenario(str(path)) == scope["scenario"]
            found += 1
    assert found, "README shows a scenario"


@needs_readme
def test_its_links_and_pictures_are_there():
    for target in re.findall(r"\]\(([^)#\s]+)\)", TEXT):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_the_first_command_runs_with_few_users(tmp_path, capsys):
    code = veche.answer([
        "run", "smoke", "--users", "40", "--peers", "20", "--workers", "0",
        "--set", "starts=07:58", "--set", "closes=08:05", "--set", "grace_s=60",
        "--out", str(tmp_path / "run"),
    ])
    assert code == 0
    shown = capsys.readouterr().out
    assert "PASSED" in shown
    assert shown.strip().splitlines()[-1].startswith("veche run smoke --users 40 --peers 20")
    for name in ("result.json", "report.html", "summary.md", "junit.xml"):
        assert (tmp_path / "run" / name).is_file(), name


def test_every_verb_has_help_with_an_example():
    for name in veche.cli.commands:
        shown = CliRunner().invoke(veche.cli, [name, "--help"])
        assert f"Example: veche {name}" in shown.output
