"""Print what teaches bash and zsh our commands: `source <(python manage.py completion)`.

Exit codes: 0 printed. The script is whole: pressing the tab key starts no Python and asks nobody.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping

from django.core.management import get_commands, load_command_class
from django.core.management.base import BaseCommand

APP = "runners"
FIRST = "manage.py"

SCRIPT = """\
_fleetui() {{
    local i word words= place= typed="${{COMP_WORDS[COMP_CWORD]}}"
    local previous="${{COMP_WORDS[COMP_CWORD-1]}}"
    for ((i = 0; i < COMP_CWORD; i++)); do
        word="${{COMP_WORDS[i]##*/}}"
        case "$place $word" in
        " {first}") place={first} ;;
{places}
        esac
    done
    case "$place $previous" in
{values}
    *)
        case "$place" in
{words}
        esac ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$typed"))
}}
if [ -n "${{ZSH_VERSION-}}" ]; then
    whence compdef >/dev/null || {{ autoload -Uz compinit && compinit; }}
    autoload -Uz bashcompinit && bashcompinit
fi
complete -o bashdefault -o default -F _fleetui {first} python python3
"""


class Command(BaseCommand):
    help = "Print the completion of our commands for bash and zsh."

    def handle(self, *args: object, **options: object) -> None:
        parsers = dict(_parsers())
        known = _strings(BaseCommand().create_parser(FIRST, "any")) - {"--help"}
        commands = sorted(place for place in parsers if " " not in place)
        words = {FIRST: commands}
        values: dict[str, Iterable[str]] = {}
        for place, parser in parsers.items():
            words[place] = sorted((_strings(parser) | _choices(parser)) - known)
            for action in parser._actions:
                for option in set(action.option_strings) & set(words[place]):
                    if action.choices is not None:
                        values[f"{place} {option}"] = map(str, action.choices)
        self.stdout.write(
            SCRIPT.format(
                first=FIRST,
                places=_cases({_step(place): f"place='{place}'" for place in parsers}, indent=2),
                values=_cases({place: _words(each) for place, each in values.items()}, indent=1),
                words=_cases({place: _words(each) for place, each in words.items()}, indent=2),
            ),
            ending="",
        )


def _parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each command of ours and each verb of one, with what it accepts."""
    for name in sorted(name for name, app in get_commands().items() if app == APP):
        parser = load_command_class(APP, name).create_parser(FIRST, name)
        yield name, parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for verb, of_verb in action.choices.items():
                    yield f"{name} {verb}", of_verb


def _strings(parser: argparse.ArgumentParser) -> set[str]:
    """Its long options."""
    every = (option for action in parser._actions for option in action.option_strings)
    return {option for option in every if option.startswith("--")}


def _choices(parser: argparse.ArgumentParser) -> set[str]:
    """What its positional arguments may be, where that is known."""
    positional = (action for action in parser._actions if not action.option_strings)
    return {str(choice) for action in positional for choice in action.choices or ()}


def _step(place: str) -> str:
    """The word before the last one, and the last one, of what was typed to get here."""
    return place if " " in place else f"{FIRST} {place}"


def _words(words: Iterable[str]) -> str:
    return f"words='{' '.join(words)}'"


def _cases(cases: Mapping[str, str], *, indent: int) -> str:
    return "\n".join(f'{"    " * indent}"{case}") {act} ;;' for case, act in cases.items())
