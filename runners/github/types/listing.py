"""What a list call gives: the entries, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

from runners.github.errors import BadAnswer
from runners.github.parsing import Fields, Json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Sequence[T], Generic[T]):
    """A list as GitHub gave it, each entry once.

    `complete` is false when GitHub counted more than it gave (the list moved while it was read, or
    a bound was asked for): absence from it then proves nothing. `not_modified` is true when every
    page was confirmed by a 304: the entries are those of the call before.
    """

    items: tuple[T, ...]
    complete: bool = True
    not_modified: bool = False
    total_count: int | None = None

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self.items[index]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page; `total_count` is None where GitHub does not count."""

    items: tuple[T, ...]
    total_count: int | None


@dataclass(frozen=True, slots=True)
class PageOf(Generic[T]):
    """Reads a page `{total_count, <name>: [...]}`, or a bare list when `name` is empty.

    Equal readers are interchangeable, so one may name a cache entry.
    """

    parse: Callable[[Json], T]
    name: str = ""

    def __call__(self, value: Json) -> Page[T]:
        """Read one page. Raises BadAnswer."""
        if self.name:
            fields = Fields(value, "page")
            return Page(fields.list_of(self.name, self.parse), fields.number_or_none("total_count"))
        if not isinstance(value, list):
            raise BadAnswer("GitHub's answer is not a list.")
        return Page(tuple(self.parse(element) for element in value), None)
