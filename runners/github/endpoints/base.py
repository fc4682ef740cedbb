"""What every group of operations stands on: a transport and the three ways to use it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from runners.github.paging import list_all
from runners.github.parsing import Json
from runners.github.transport import Call, Transport
from runners.github.types.listing import Listing, PageOf

T = TypeVar("T")
Query = Mapping[str, str | int]


class Endpoints:
    """Holds the transport; the groups add methods and nothing else."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _get(
        self,
        operation: str,
        path: str,
        parse: Callable[[Json], T],
        *,
        query: Query | None = None,
        as_app: bool = False,
        conditional: bool = True,
    ) -> T:
        call = Call(operation, path, query=query or {}, as_app=as_app)
        return self._transport.read(call, parse, conditional=conditional).value

    def _list(
        self,
        operation: str,
        path: str,
        page: PageOf[T],
        identify: Callable[[T], Hashable],
        *,
        query: Query | None = None,
        as_app: bool = False,
        max_items: int | None = None,
    ) -> Listing[T]:
        call = Call(operation, path, query=query or {}, as_app=as_app)
        return list_all(self._transport, call, page, identify, max_items=max_items)

    def _change(
        self,
        method: str,
        operation: str,
        path: str,
        *,
        body: Json = None,
        as_app: bool = False,
        anonymous: bool = False,
    ) -> Json:
        call = Call(operation, path, method, body=body, as_app=as_app, anonymous=anonymous)
        return self._transport.send(call).value


def without_none(**values: str | int | None) -> Query:
    """The query parameters that were given."""
    return {name: value for name, value in values.items() if value is not None}
