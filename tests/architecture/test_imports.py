"""Who may import whom: the layers of the product, read from the source itself.

Interfaces (views, api, tasks, commands, admin) read models and call the domain, never each other;
the domain knows no request, template, message or setting; what is at the bottom knows nobody.
"""

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

INTERFACES = (
    "runners.views",
    "runners.api",
    "runners.management",
    "runners.tasks",
    "runners.admin",
)
# What belongs to the pages: forms, filters, the frame's context, members, request ids, tags.
PAGES = (
    "runners.context",
    "runners.event_filters",
    "runners.filters",
    "runners.forms",
    "runners.host_filters",
    "runners.members",
    "runners.request_ids",
    "runners.templatetags",
)
# The edges of the process: made once, from settings.
EDGES = (
    "runners.wiring",
    "runners.checks",
    "runners.apps",
    "runners.urls",
    "runners.programs",
    "runners.surroundings",
)
# Words and codes the tables are made of: data, no logic.
VOCABULARIES = (
    "runners.states",
    "runners.failure",
    "runners.drift_kinds",
    "runners.waits",
    "runners.readiness",
)
BOTTOM = ("runners.github", "runners.errors", "runners.models", *VOCABULARIES)
APART = ("runners.simulator", "runners.agent")

OF_THE_WEB = ("django.http", "django.template", "django.contrib.messages", "django.shortcuts")
NETWORK = ("requests", "urllib.request", "http.client", "httpx")


@dataclass(frozen=True)
class Import:
    """`importer` imports `imported`; `nested` when it does so inside a function."""

    importer: str
    imported: str
    line: int
    nested: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def under(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@functools.cache
def sources() -> dict[str, Path]:
    """Every module of the product, migrations aside, by its dotted name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in ("runners", "fleetui")
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
    }


@functools.cache
def imports() -> tuple[Import, ...]:
    return tuple(found for module, path in sources().items() for found in imports_of(module, path))


def imports_of(module: str, path: Path) -> Iterator[Import]:
    text = ast.parse(path.read_text(encoding="utf-8"))
    nested = {
        id(inner)
        for node in ast.walk(text)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(node)
    }
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(text):
        for imported in names_of(node, package):
            yield Import(module, imported, getattr(node, "lineno", 0), id(node) in nested)


def names_of(node: ast.AST, package: str) -> list[str]:
    """The modules one statement imports; `from a import b` is a.b where that is a module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        parents = package.split(".")[: len(package.split(".")) - node.level + 1]
        base = ".".join([*parents, *filter(None, [node.module])])
    return [
        f"{base}.{alias.name}" if f"{base}.{alias.name}" in sources() else base
        for alias in node.names
    ]


def violations(
    importers: tuple[str, ...], forbidden: tuple[str, ...], allowed: tuple[str, ...] = ()
) -> list[str]:
    """Imports of `forbidden` modules; a package may always import itself."""
    return [
        str(each)
        for each in imports()
        if under(each.importer, importers)
        and under(each.imported, forbidden)
        and not under(each.imported, importers + allowed)
    ]


def domain() -> tuple[str, ...]:
    outside = INTERFACES + PAGES + EDGES + BOTTOM + APART
    return tuple(
        module
        for module in sources()
        if under(module, ("runners",)) and module != "runners" and not under(module, outside)
    )


def test_the_source_was_found():
    assert {"runners.lifecycle", "runners.heartbeat", "runners.reconcile"} <= set(domain())
    assert len(imports()) > 300


@pytest.mark.parametrize("interface", INTERFACES)
def test_interfaces_do_not_import_each_other(interface):
    others = tuple(each for each in INTERFACES if each != interface)

    assert violations((interface,), others) == []


def test_domain_does_not_import_interfaces_or_pages():
    assert violations(domain(), INTERFACES + PAGES) == []


def test_domain_knows_no_request_template_or_message():
    assert violations(domain(), OF_THE_WEB) == []


def test_domain_makes_no_network_calls_of_its_own():
    assert violations(domain(), NETWORK) == []


def test_domain_reads_no_settings():
    assert violations(domain(), ("django.conf", "fleetui")) == []


def test_models_import_the_pure_vocabularies_and_nothing_else_of_ours():
    assert violations(("runners.models",), ("runners", "fleetui"), VOCABULARIES) == []


@pytest.mark.parametrize("module", [*VOCABULARIES, "runners.errors", "runners.github"])
def test_bottom_imports_nothing_of_ours(module):
    assert violations((module,), ("runners", "fleetui")) == []


def test_github_client_knows_no_django():
    assert violations(("runners.github",), ("django", "django_q")) == []


def test_simulator_knows_nothing_of_the_product():
    assert violations(("runners.simulator",), ("runners", "fleetui", "django")) == []


def test_product_does_not_import_the_simulator():
    rest = tuple(module for module in sources() if not under(module, APART) and module != "runners")

    assert violations(rest, ("runners.simulator",)) == []


def test_agent_and_dashboard_do_not_import_each_other():
    rest = tuple(module for module in sources() if not under(module, ("runners.agent",)))

    assert violations(("runners.agent",), ("runners", "fleetui", "django")) == []
    assert violations(tuple(set(rest) - {"runners"}), ("fleet_agent", "runners.agent")) == []


def test_arithmetic_knows_neither_tables_nor_clocks():
    pure = (
        "runners.scaling",
        "runners.beat",
        "runners.rolling",
        "runners.reconcile_plan",
        "runners.reconcile_view",
        "runners.mismatches",
        "runners.histograms",
        "runners.targets",
        "runners.costs",
    )
    words = (*VOCABULARIES, "runners.github.types")
    clocks = ("time", "django")

    assert violations(pure, ("runners", *clocks), words) == []


def test_nobody_imports_tasks():
    """Work is queued by dotted path, so that the domain does not depend on who runs it."""
    assert [str(each) for each in imports() if each.imported == "runners.tasks"] == []


def test_no_import_hides_in_a_function():
    """One that does hides a cycle. Django's ready() has to."""
    assert [
        str(each)
        for each in imports()
        if each.nested and under(each.imported, ("runners",)) and each.importer != "runners.apps"
    ] == []


def test_modules_do_not_import_in_circles():
    graph: dict[str, set[str]] = {}
    for each in imports():
        if each.imported in sources() and not each.nested:
            graph.setdefault(each.importer, set()).add(each.imported)
    assert find_circle(graph) == []


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """Some circle of modules, or nothing."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return path[path.index(module) :]
        if module in done:
            return []
        for imported in sorted(graph.get(module, ())):
            if circle := walk(imported, [*path, module]):
                return circle
        done.add(module)
        return []

    return next((circle for module in sorted(graph) if (circle := walk(module, []))), [])
