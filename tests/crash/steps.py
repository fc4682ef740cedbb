"""Which steps there are, read from the code: every task of the worker, every endpoint of agents and
webhooks, and every verb that a page, a command or an endpoint calls with an actor (`by`).

A verb without an actor is part of one that has one, or of a task.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import runners
from runners import tasks
from runners.api.urls import urlpatterns

ROOT = Path(runners.__file__).parent
CALLERS = ("views", "management", "api")


@cache
def every_step() -> dict[str, CodeType]:
    """Each step by its name, with the code that is entered when it is done."""
    return {**_tasks(), **_endpoints(), **_verbs()}


def _tasks() -> dict[str, CodeType]:
    own = inspect.getmembers(tasks, inspect.isfunction)
    return {
        f"tasks.{name}": function.__code__
        for name, function in own
        if function.__module__ == tasks.__name__ and not name.startswith("_")
    }


def _endpoints() -> dict[str, CodeType]:
    views = {str(pattern.name): inspect.unwrap(pattern.callback) for pattern in urlpatterns}
    return {f"api {name}": view.__code__ for name, view in views.items()}


def _verbs() -> dict[str, CodeType]:
    called = set(_called())
    found: dict[str, CodeType] = {}
    for path in sorted(ROOT.glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef) or node.name.startswith("_"):
                continue
            takes = {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}
            name = f"{path.stem}.{node.name}"
            if "by" in takes and name in called:
                found[name] = _code_of(name)
    return found


def _code_of(name: str) -> CodeType:
    module, _, function = name.partition(".")
    code: CodeType = inspect.unwrap(getattr(import_module(f"runners.{module}"), function)).__code__
    return code


def _called() -> Iterator[str]:
    """`module.name` of whatever the callers name of a module of the domain, by its own name."""
    for folder in CALLERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text())
            real = _real_names(tree)
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                    yield f"{real.get(node.value.id, node.value.id)}.{node.attr}"
                elif isinstance(node, ast.Name) and node.id in real:
                    yield real[node.id]


def _real_names(tree: ast.AST) -> dict[str, str]:
    """What imports from `runners` are called here → what they are called there."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("runners"):
            continue
        inside = str(node.module).partition("runners")[2].lstrip(".")
        for each in node.names:
            names[each.asname or each.name] = f"{inside}.{each.name}" if inside else each.name
    return names


@contextmanager
def entered() -> Iterator[set[str]]:
    """The steps whose code is entered in the block, by their names."""
    names = {code: name for name, code in every_step().items()}
    seen: set[str] = set()

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code in names:
            seen.add(names[frame.f_code])

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        yield seen
    finally:
        sys.setprofile(before)
