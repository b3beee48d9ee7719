"""report.html: what is on it, that it is one repeatable file, and that a browser shows it."""

import re
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from reports.page import build_page
from reports.tables import GLANCE
from sim.registry import REGISTRY
from sim.result import ProcessRow, SlowTransaction
from tests.synthetic import build_election, build_fairs

ALL = [
    "judgement", "load", "latency", "way", "chain", "network", "slowest", "theory",
    "provenance",
]
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--enable-logging=stderr", "--window-size=1000,1400",
]
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="module")
def election():
    return build_election(4_000)


@pytest.fixture(scope="module")
def page(election):
    return build_page(election)


def list_sections(page):
    """The ids of a page's sections, in order."""
    return re.findall(r'<section id="([^"]+)"', page)


class Elements(HTMLParser):
    """Collects ids and the tags left open; void elements of HTML need no end."""

    VOID = ("meta", "link", "br", "path", "use")

    def __init__(self):
        super().__init__()
        self.ids, self.open, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "xlink:href"):
                self.links.append(value)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag


def read_elements(page):
    elements = Elements()
    elements.feed(page)
    return elements


def test_an_election_s_page_has_every_section(page):
    assert list_sections(page) == ALL
    for words in (
        "time to final", "uncorrected", "waiting at the door", "crash of 8 validators",
        "Little", "half a block interval", "seen by 95 %", "reference-2026", "1a2b3c4d5e6f",
        "veche run election-day --seed 7", "latency.final.p99_s &lt;= 30",
    ):
        assert words in page, words


def test_the_page_is_well_formed_and_no_id_stands_twice(page):
    elements = read_elements(page)
    assert elements.open == []
    assert len(elements.ids) == len(set(elements.ids))


def test_the_page_needs_nothing_from_elsewhere(page):
    assert "<script" not in page
    assert "@import" not in page
    assert "url(http" not in page
    for link in read_elements(page).links:
        assert link.startswith(("#", "data:")), link


def test_the_bytes_of_a_page_repeat(election, page):
    assert build_page(election) == page


def test_colours_follow_the_page_and_no_stand_in_is_left(page):
    assert "#0b0b" not in page
    assert "var(--main)" in page
    assert "prefers-color-scheme: dark" in page


def test_a_fairs_page_speaks_of_applications_and_leaves_out_what_it_has_not():
    page = build_page(build_fairs())
    assert list_sections(page) == ["judgement", "provenance"]
    assert "applications offered" in page
    assert "places given" in page
    assert "not measured" in page
    assert "ballot" not in page


def test_a_partial_page_says_so_plainly():
    page = build_page(build_election(2_000, stopped=True))
    assert "Partial run" in page
    assert "Stopped by the user at 12:41:07." in page
    assert "Partial run" not in build_page(build_fairs())


def test_a_broken_invariant_is_the_first_thing_that_the_page_says():
    page = build_page(build_election(2_000, broken=True))
    assert "An invariant broke: nothing lost." in page
    assert 'class="verdict broken"' in page


def test_a_name_from_a_user_s_file_cannot_become_markup(election):
    planted = "<img src=x onerror=alert(1)>"
    slow = SlowTransaction(
        identity="ab", intended_s=0, total_s=1, region=planted, tries=1, block=None,
        stages=((planted, 1.0),),
    )
    page = build_page(replace(
        election, scenario=planted, question=planted, subject=planted, note=planted,
        reproduce=planted, slowest=(slow,), config={"x": planted},
    ))
    assert "<img" not in page


def test_the_glance_shows_registered_metrics_only():
    assert all(name in REGISTRY for name, _ in GLANCE)


def browse(tmp_path, page, *extra):
    path = tmp_path / "report.html"
    path.write_text(page, encoding="utf-8")
    return subprocess.run(
        [BROWSER, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *extra, path.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )


def read_png_rows(path):
    """The picture's rows as bytes; enough to see that something is drawn."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    place, packed = 8, b""
    while place < len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        if data[place + 4 : place + 8] == b"IDAT":
            packed += data[place + 8 : place + 8 + size]
        place += size + 12
    return zlib.decompress(packed)


needs_browser = pytest.mark.skipif(
    BROWSER is None, reason="no chromium on the PATH: install Debian's package chromium"
)


@pytest.mark.slow
@needs_browser
def test_a_browser_shows_the_page_without_complaint(tmp_path, page):
    dump = browse(tmp_path, page, "--dump-dom")
    assert "CONSOLE" not in dump.stderr
    assert list_sections(dump.stdout) == ALL
    assert len(re.findall(r"<svg", dump.stdout)) == 10
    picture = tmp_path / "page.png"
    browse(tmp_path, page, f"--screenshot={picture}")
    assert len(set(read_png_rows(picture))) > 50


@pytest.mark.slow
@needs_browser
def test_the_browser_s_complaints_would_be_heard(tmp_path):
    dump = browse(tmp_path, "<script>console.error('planted')</script>", "--dump-dom")
    assert "CONSOLE" in dump.stderr


def test_a_clusters_page_says_so_and_what_each_process_cost(election):
    assert "Processes" not in build_page(election)
    rows = tuple(
        ProcessRow(
            name=f"validator-{number}", role="validator", starts=1 + number, killed=number,
            cpu_s=8.0, peak_mb=100.0, kinds=(("check", 6.0), ("other", 2.0)),
        )
        for number in range(2)
    )
    metrics = {**election.metrics, "cluster.reads.left_out.count": 1234}
    page = build_page(replace(election, host="cluster", processes=rows, metrics=metrics))
    assert "This was a cluster: real processes on one machine" in page
    assert "1,234 requests" in page
    assert page.count("killed 1 time") == 1
    final = election.metrics["final.count"]
    assert f">{6e6 / final:,.0f}<" in page


def test_a_clusters_page_has_no_words_of_the_simulators(election):
    fast = {**election.config, "speed": 20.0}
    theory = (replace(election.theory[0], measured=9 * election.theory[0].predicted),)
    result = replace(election, host="cluster", theory=theory, config=fast)
    page = build_page(replace(result, host="simulated"))
    assert "Journal digest" in page
    assert 'aria-label="fails"' in page[page.index('<section id="theory">'):]
    page = build_page(result)
    for words in ("Journal digest", "Cost table", "engine.events"):
        assert words not in page.partition('download="result.json"')[0]
    laws = page[page.index('<section id="theory">'):page.index('<section id="provenance">')]
    assert "nothing is judged" in laws
    assert laws.count('aria-label="not judged"') == 1
    assert "within" not in laws


def test_the_way_of_nothing_is_not_drawn(election):
    nothing = replace(election, metrics={**election.metrics, "final.count": 0})
    page = build_page(nothing)
    assert "No ballot was final" in page
    assert 'id="figure-stages"' not in page
    assert 'id="figure-stages"' in build_page(election)


def test_a_few_blocks_are_dots_and_many_a_line(election):
    assert "Each block is a dot." not in build_page(election)
    few = {name: column[:100] for name, column in election.blocks.items()}
    page = build_page(replace(election, blocks=few))
    assert "Each block is a dot." in page
    assert "the band their smallest" not in page
