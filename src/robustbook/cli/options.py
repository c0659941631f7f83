"""Define options that several commands share, and print each error message on one line.

A wrong argument is reported on one line of stderr before any work begins, and the exit code is 2.
Ctrl-C gives exit code 130.
"""

import json
import os
import re
import shlex
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

_MOST_SEEDS, _MOST_DIGITS = 1000, 18
_SEEDS = re.compile(r"\d+(:\d+)?(,\d+(:\d+)?)*")


class Commands(click.Group):
    """A group of commands that reports each error on one line."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Run the command line `args` (by default the arguments of the process), then exit."""
        words = list(sys.argv[1:] if args is None else args)
        extra |= {"prog_name": "robustbook", "standalone_mode": False}
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _warn
                sys.exit(super().main(words or ["--help"], **extra))
        except click.Abort:
            again = shlex.join(["robustbook", *words])
            _leave(
                f"stopped; finished results are kept, and this continues from there: {again}", 130
            )
        except (click.ClickException, ValueError, OSError, ModuleNotFoundError) as error:
            if os.environ.get("ROBUSTBOOK_TRACEBACK"):
                raise
            if isinstance(error, click.ClickException):
                _leave(error.format_message(), 2)
            _leave(str(error), 2)


def _leave(message: str, code: int) -> NoReturn:
    _warn(message)
    sys.exit(code)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"robustbook: {' '.join(str(message).split())}", err=True)


def _seeds(ctx: click.Context, option: click.Parameter, text: str | None) -> list[int] | None:
    """Return the list of seeds that a text such as "3", "0,2,5" or "0:5" (0 to 4) describes."""
    if text is None:
        return None
    numbers: list[int] = []
    if _SEEDS.fullmatch(text) and len(max(re.split("[:,]", text), key=len)) <= _MOST_DIGITS:
        for part in text.split(","):
            first, colon, end = part.partition(":")
            start = int(first)
            stop = min(int(end), start + _MOST_SEEDS + 1) if colon else start + 1
            numbers += range(start, stop)
    if not 0 < len(numbers) <= _MOST_SEEDS:
        raise click.UsageError(
            "seeds must be whole numbers such as 3 or 0,2,5 or 0:5 (which is 0 to 4), at most "
            f"{_MOST_SEEDS} of them, each with at most {_MOST_DIGITS} digits, got {text!r:.60}"
        )
    return numbers


def _given(ctx: click.Context, option: click.Parameter, texts: Sequence[str]) -> dict[str, Any]:
    """Return a dict of the parameters in texts such as "eps=0.1"; a value that is not valid JSON
    stays text.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.UsageError(f"set must be NAME=VALUE such as eps=0.1, got {text!r}")
        if name in ("profile", "seeds"):
            raise click.UsageError(f"{name} must be given as --{name}, got --set {text}")
        if name in found:
            raise click.UsageError(f"{name} must be set once, got --set {text} as well")
        try:
            found[name] = json.loads(value)
        except (ValueError, RecursionError):
            found[name] = value
    return found


items = click.argument("items", metavar="[PAPER/ITEM]...", nargs=-1)
seeds = click.option(
    "--seeds",
    callback=_seeds,
    metavar="SEEDS",
    help="3 or 0,2,5 or 0:5; default: those of the profile.",
)
any_profile = click.option("--profile", help="quick, reduced or paper; default: all.")
parameters = click.option(
    "--set",
    "given",
    callback=_given,
    multiple=True,
    metavar="NAME=VALUE",
    help="Set a parameter of the item; its page lists them.",
)
store = click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of stored results; default: ROBUSTBOOK_STORE, else .robustbook in the project.",
)
workers = click.option(
    "--workers",
    type=click.IntRange(0),
    help="Worker processes; default: one per core, or one on a GPU. 0: only this process.",
)
