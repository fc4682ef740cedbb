"""A page as a tree, so that tests ask for elements and ids and never for pieces of markup."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset({"meta", "link", "input", "br", "hr", "img"})


@dataclass
class Element:
    """One element: its name, its attributes, and what is inside it."""

    name: str
    attributes: dict[str, str]
    children: list[Element | str] = field(default_factory=list)

    def __getitem__(self, attribute: str) -> str:
        return self.attributes[attribute]

    def has(self, attribute: str) -> bool:
        return attribute in self.attributes

    @property
    def text(self) -> str:
        """All words inside, with single spaces."""
        return " ".join(" ".join(self._words()).split())

    def _words(self) -> Iterator[str]:
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield from child._words()

    def all(self, name: str = "", /, **attributes: str) -> list[Element]:
        """Every element inside of this name with these attributes (`_` in a keyword is `-`)."""
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        return list(
            self._matching(
                lambda element: (
                    (not name or element.name == name)
                    and wanted.items() <= element.attributes.items()
                )
            )
        )

    def one(self, name: str = "", /, **attributes: str) -> Element:
        """The only such element."""
        found = self.all(name, **attributes)
        assert len(found) == 1, f"{len(found)} elements match {name} {attributes}"
        return found[0]

    def by_id(self, key: str) -> Element:
        return self.one(id=key)

    def _matching(self, wanted: Callable[[Element], bool]) -> Iterator[Element]:
        for child in self.children:
            if isinstance(child, Element):
                if wanted(child):
                    yield child
                yield from child._matching(wanted)


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("document", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {key: value or "" for key, value in attrs})
        self._open[-1].children.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open[-1].children.append(Element(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].name == tag, f"</{tag}> closes <{self._open[-1].name}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def parse(html: str | bytes) -> Element:
    """Read a whole page or a fragment; every tag that opens must close."""
    builder = _Builder()
    builder.feed(html.decode() if isinstance(html, bytes) else html)
    builder.close()
    assert len(builder._open) == 1, f"<{builder._open[-1].name}> never closes"
    return builder.root
