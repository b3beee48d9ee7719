"""The citizen's page: one HTML file that checks a proof in the browser and needs nobody else.

Its parts stand here as they are edited; ``build_page`` puts them together. The page works as
well when it is saved and opened from a disk.
"""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent
SCRIPTS = ("codec.js", "hashes.js", "ed25519.js", "proof.js", "trust.js", "page.js")


class Page(NamedTuple):
    """The page's bytes, and the Content-Security-Policy that lets only itself run."""

    content: bytes
    policy: str


@cache
def build_page() -> Page:
    """The same bytes each time."""
    style = _read("page.css")
    script = "'use strict';\n" + "\n".join(_read(name) for name in SCRIPTS)
    assert "</script" not in script
    assert "</style" not in style
    page = _read("page.html")
    page = page.replace("/* style */", style).replace("/* script */", script)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return Page(page.encode(), policy)


def _read(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return "sha256-" + b64encode(sha256(content.encode()).digest()).decode()
