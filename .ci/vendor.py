"""Copies third-party assets into static/ from npm packages pinned by version and integrity.

Running it again changes nothing. static/vendor/VENDORED.md says what each is for and its licence;
an icon is added by writing an empty `<symbol id="i-NAME"></symbol>` into static/icons.svg first.
"""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

STATIC = Path(__file__).resolve().parent.parent / "static"


@dataclass(frozen=True)
class Package:
    """`files` are copied: path in the package to path below static/."""

    name: str
    version: str
    integrity: str
    files: dict[str, str]


LUCIDE = Package(
    "lucide-static",
    "1.62.0",
    "sha512-WBZA/m2PvkFpMGHDtsBck5P2A9G4ehLlYu4GwwICcmEm1BvYVgj00lCDxKRWLlbMlOibLaiwdQ88G5pHkSWgwA==",
    {"LICENSE": "LICENSE-lucide.txt"},
)
FONTS = (
    Package(
        "@fontsource-variable/geist",
        "5.3.0",
        "sha512-j0m+vLQuG5XAYoHtGCVu0spvlGreR3EzpECUVzkFmI1mTVnAO38l/NEPDCFgZ177JxzYJCLSmTQibIiYPilGrA==",
        {
            "files/geist-latin-wght-normal.woff2": "fonts/geist-latin-wght-normal.woff2",
            "LICENSE": "fonts/LICENSE-geist.txt",
        },
    ),
    Package(
        "@fontsource-variable/geist-mono",
        "5.3.0",
        "sha512-vBbuwDEo9AkrqADMXOrlAR3DFcJi4/JxeuU43FoiQERnNwsfXNnvxvReZG02cQKmyk4DZkZdBZX3oTDvy2zBAw==",
        {
            "files/geist-mono-latin-wght-normal.woff2": "fonts/geist-mono-latin-wght-normal.woff2",
            "LICENSE": "fonts/LICENSE-geist-mono.txt",
        },
    ),
)


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        for package in FONTS:
            copy(package, unpack(package, Path(folder)))
        lucide = unpack(LUCIDE, Path(folder))
        copy(LUCIDE, lucide)
        draw_icons(lucide / "icons", STATIC / "icons.svg")
    return subprocess.run(["git", "status", "--short", str(STATIC)], check=False).returncode


def unpack(package: Package, folder: Path) -> Path:
    """Fetch one package, refuse what is not the one that was pinned, and unpack it."""
    packed = subprocess.run(
        ["npm", "pack", "--silent", f"{package.name}@{package.version}"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    archive = folder / packed.stdout.strip().splitlines()[-1]
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != package.integrity:
        sys.exit(f"{package.name} {package.version} is not what was pinned: sha512-{digest}")
    target = folder / archive.name.removesuffix(".tgz")
    with tarfile.open(archive) as tar:
        tar.extractall(target, filter="data")
    return target / "package"


def copy(package: Package, source: Path) -> None:
    for inside, outside in package.files.items():
        (STATIC / outside).write_bytes((source / inside).read_bytes())


def draw_icons(icons: Path, sprite: Path) -> None:
    """Redraw every `i-*` symbol of the sprite from the package."""

    def draw(match: re.Match[str]) -> str:
        text = (icons / f"{match['name']}.svg").read_text(encoding="utf-8")
        shapes = re.findall(r"<(?!svg|/|!)[^>]+>", text)
        drawn = "".join(re.sub(r"\s+", " ", shape).replace(" />", "/>") for shape in shapes)
        return f'<symbol id="i-{match["name"]}" viewBox="0 0 24 24">{drawn}</symbol>'

    text = sprite.read_text(encoding="utf-8")
    pattern = r'<symbol id="i-(?P<name>[a-z0-9-]+)"[^>]*>.*?</symbol>'
    sprite.write_text(re.sub(pattern, draw, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
