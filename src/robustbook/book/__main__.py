"""``python -m robustbook.book``: build the book from the executed notebooks."""

import click
from filelock import FileLock

from robustbook.notebooks import ROOT

from .stage import build, stage


@click.command()
def main() -> None:
    """Build the book from the executed notebooks, and print where the book is."""
    with FileLock(ROOT / "_build" / "book.lock"):  # all builds use the same folders
        stage()
        landing = build()
    click.echo(f"The book is at {landing.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
