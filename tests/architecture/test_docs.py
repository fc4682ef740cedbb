"""Documents that cannot rot: what they say of settings, targets and versions is checked."""

import re
import tomllib
from pathlib import Path

import pytest
from django.conf import settings

import fleetui
from fleetui.env import Variable

ROOT = Path(__file__).resolve().parents[2]
SETTINGS_PAGE = ROOT / "docs" / "guide" / "settings.md"
DECLARED = {variable.name: variable for variable in settings.FLEET_ENVIRONMENT.declared}
# Variables of programs that are not the dashboard, and of tests.
OF_OTHERS = {
    "FLEET_AGENT_JOBS_AS_ROOT",
    "FLEET_AGENT_PRIVATE_VIEW",
    "FLEET_AGENT_RESERVE_CPU",
    "FLEET_AGENT_RESERVE_MEMORY_GB",
    "FLEET_AGENT_SHARE",
    "FLEET_AGENT_SLOT_UIDS",
    "FLEET_ENROLMENT_CODE",
    "FLEET_PROPERTY_EXAMPLES",
    "FLEET_PROPERTY_STEPS",
    "FLEET_EMULATED",
    "FLEET_EMULATES",
    "FLEET_GPU",
    "FLEET_SLOT",
}


def documented() -> dict[str, tuple[str, str]]:
    """Default and range of each variable, as the page's tables say."""
    row = re.compile(r"^\| `([A-Z_]+)` \| (.*?) \| (.*?) \| .+ \|$", re.MULTILINE)
    found = row.findall(SETTINGS_PAGE.read_text(encoding="utf-8"))
    return {name: (default, may_be) for name, default, may_be in found}


def test_every_setting_is_documented_and_nothing_else():
    assert set(documented()) == set(DECLARED)


@pytest.mark.parametrize(
    "variable", [each for each in DECLARED.values() if each.minimum is not None], ids=str
)
def test_documented_range_and_default_are_the_real_ones(variable: Variable):
    default, may_be = documented()[variable.name]

    assert default == f"`{variable.default}`"
    assert may_be == f"{variable.minimum} to {variable.maximum} {variable.unit}".rstrip()


def test_every_setting_is_read_by_somebody():
    """A setting that does nothing is a promise broken."""
    sources = [
        path.read_text(encoding="utf-8")
        for package in ("fleetui", "runners")
        for path in (ROOT / package).rglob("*.py")
    ]
    uses = "\n".join(sources)

    def is_read(name: str) -> bool:
        # Once where it is assigned from the environment, once in quotes; the rest are uses.
        return len(re.findall(rf"(?<![\"\w]){name}(?![\"\w])", uses)) > 1

    names = [name for name, variable in DECLARED.items() if not variable.secret]
    assert [name for name in names if not is_read(name)] == []


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]), ids=lambda page: page.name
)
def test_page_names_only_settings_that_exist(page: Path):
    named = set(re.findall(r"\bFLEET_[A-Z_]*[A-Z]\b", page.read_text(encoding="utf-8")))
    known = set(DECLARED) | {f"{name}_FILE" for name in DECLARED} | OF_OTHERS

    assert named - known == set()


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]), ids=lambda page: page.name
)
def test_page_names_only_make_targets_that_exist(page: Path):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z][a-z-]*)", "\n".join(code_of(page))))

    assert named - targets == set()


def code_of(page: Path) -> list[str]:
    """The inline code and code blocks of a page."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [*blocks, *inline]


def test_version_is_that_of_the_changelogs_first_heading():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    first = re.search(r"^## (\S+)", changelog, re.MULTILINE)

    assert first
    assert first[1] == fleetui.__version__


def test_every_dependency_has_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = (
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    )
    names = {re.split(r"[^A-Za-z0-9-]", needed)[0] for group in groups for needed in group}
    reasons = (ROOT / "docs" / "adr" / "0002-dependencies.md").read_text(encoding="utf-8")

    assert "django" in names
    assert {name for name in names if f"`{name}`" not in reasons} == set()


def test_decisions_are_numbered_once():
    numbers = [path.name[:4] for path in (ROOT / "docs" / "adr").glob("*.md")]

    assert sorted(set(numbers)) == sorted(numbers)


def test_readme_lists_every_page_of_the_guide():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(.+?)\]\(docs/guide/(.+?)\) \| .+ \|$", readme, re.MULTILINE)

    assert all(name == page for name, page in rows)
    assert sorted(page for _, page in rows) == sorted(
        page.name for page in (ROOT / "docs" / "guide").glob("*.md")
    )


def test_architecture_page_lists_every_module():
    page = (ROOT / "docs" / "guide" / "architecture.md").read_text(encoding="utf-8")
    first_cells = re.findall(r"^\| (`.+?) \|", page.partition("## Modules")[2], re.MULTILINE)
    listed = re.findall(r"`([^`]+)`", " ".join(first_cells))
    # What Django looks for under these names, and says nothing of its own
    wired = {"__init__.py", "apps.py", "urls.py"}
    modules = {path.name for path in (ROOT / "runners").glob("*.py")} - wired
    packages = {f"{path.name}/" for path in (ROOT / "runners").iterdir() if path.is_dir()}

    assert sorted(listed) == sorted(modules | packages - {"__pycache__/"})
