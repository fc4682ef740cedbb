"""How an action is asked for and answered, wherever it was begun: on a list or on a page.

Knows requests and fragments, nothing of the fleet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import urlsplit

from django.forms import Form
from django.http import HttpResponse, QueryDict
from django.urls import reverse

from runners.errors import FleetError
from runners.views.shared import Confirm, Context, FleetRequest, ask, refuse, respond

T = TypeVar("T")
NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where a thing is shown: the fragment, what htmx swaps, and its context, read when asked."""

    fragment: str
    target: str
    context: Callable[[], Context]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is acted on: its actions are the routes `<kind>-<verb>` with `key`, its page `url`."""

    kind: str
    key: int | str
    url: str
    on_page: Place
    on_list: Place

    def action(self, verb: str) -> str:
        """The address of one of its actions."""
        return reverse(f"{self.kind}-{verb}", args=[self.key])

    def place(self, request: FleetRequest) -> Place:
        """Where the person looks at it: its own page, or a list."""
        here = urlsplit(request.htmx.current_url or "").path
        return self.on_page if here == self.url else self.on_list


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before an action; `leaves` when the thing's page is gone after it."""

    title: str
    text: str
    button: str
    danger: bool = False
    leaves: bool = False


def ask_about(
    request: FleetRequest, subject: Subject, verb: str, form: Form | None, question: Question
) -> HttpResponse:
    """Ask before an action on one thing."""
    confirm = Confirm(
        title=question.title,
        text=question.text,
        button=question.button,
        action=subject.action(verb),
        cancel_url=subject.url,
        target="" if question.leaves else subject.place(request).target,
        danger=question.danger,
    )
    return ask(request, confirm, form)


def done(request: FleetRequest, subject: Subject, said: str, *, undo: str = "") -> HttpResponse:
    """Answer with the place the person looks at, afresh; `undo` is the verb that takes it back."""
    place = subject.place(request)
    undo_url = subject.action(undo) if undo else ""
    return respond(
        request, place.fragment, subject.url, place.context, said=said, undo_url=undo_url
    )


def refused(request: FleetRequest, subject: Subject, error: FleetError) -> HttpResponse:
    """Answer that the fleet refused, with the place the person looks at."""
    place = subject.place(request)
    return refuse(request, place.fragment, subject.url, place.context, error)


def filters_in_force(request: FleetRequest) -> QueryDict:
    """The filters of the list the person looks at; the form's own address is as old as the page."""
    if request.htmx.current_url:
        return QueryDict(urlsplit(request.htmx.current_url).query)
    return request.GET


def act_on_each(things: Iterable[T], act: Callable[[T], str], done: tuple[str, str]) -> str:
    """Act on each alone, so that one refusal spares the others; return what to say of all.

    `done` is for one and for several, such as "host is cordoned". `act` returns what to say of its
    row, "" for nothing more.
    """
    count = 0
    words = []
    for thing in things:
        try:
            said = act(thing)
        except FleetError as error:
            words.append(error.user_message)
            continue
        count += 1
        if said:
            words.append(said)
    one, many = done
    more = [f"And {len(words) - NAMED} more."] if len(words) > NAMED else []
    return " ".join([f"1 {one}." if count == 1 else f"{count} {many}.", *words[:NAMED], *more])
