"""The static files as text, for tests that compare them with the templates and the domain."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "static"
TEMPLATES = ROOT / "templates"


def css(name: str) -> str:
    return (STATIC / "css" / f"{name}.css").read_text()


def every_css() -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted((STATIC / "css").glob("*.css"))}


def symbol_ids() -> set[str]:
    return set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "icons.svg").read_text()))


def glyph_ids() -> set[str]:
    return {key for key in symbol_ids() if key.startswith("g-")}


def templates() -> dict[str, str]:
    return {
        str(path.relative_to(TEMPLATES)): path.read_text()
        for path in sorted(TEMPLATES.rglob("*.html"))
    }
