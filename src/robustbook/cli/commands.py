"""The commands. What is slow to import is imported inside them, so that --help is quick."""

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from . import options

PROJECT = Path(__file__).resolve().parents[3]


@click.group(cls=options.Commands)
@click.version_option(package_name="robustbook", message="robustbook %(version)s")
def main() -> None:
    """A book that re-runs its papers.

    \b
    Example: robustbook run saturating/table-1 --profile quick

    Where no item is named, all are meant. With ROBUSTBOOK_TRACEBACK=1 an error shows where in the
    source it came up.
    """


@main.command()
@options.items
@click.option("--profile", default="quick", show_default=True, help="quick, reduced or paper.")
@options.seeds
@options.parameters
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--scheduler", metavar="ADDRESS", help="Run on the workers of this Dask scheduler.")
@options.workers
@click.option(
    "--data-root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with the original data files; else ROBUSTBOOK_DATA, else a cache.",
)
@options.store
def run(
    items: Sequence[str],
    profile: str,
    seeds: list[int] | None,
    given: dict[str, Any],
    device: str,
    scheduler: str | None,
    workers: int | None,
    data_root: Path | None,
    store: Path | None,
) -> None:
    """Compute what is missing, and print ours beside the paper's.

    \b
    Example: robustbook run saturating/table-1 --profile quick --seeds 0:5 --set eps=0.1
    """
    from robustbook import catalogue
    from robustbook.runs import RunFailed, Store, duration

    from .jobs import beside_the_paper, jobs

    if scheduler and not re.fullmatch(r"\w+://.+:\d+", scheduler):  # Dask would wait for it
        raise click.UsageError(f"scheduler must be like tcp://host:8786, got {scheduler!r}")
    if data_root and scheduler:
        raise click.UsageError(
            f"data-root must not be given with a scheduler, got {data_root}; set ROBUSTBOOK_DATA "
            "for its workers instead"
        )
    if data_root:  # by the environment, which worker processes inherit
        os.environ["ROBUSTBOOK_DATA"] = str(data_root.absolute())
    where = Store(store)
    for job in jobs(items, profile, seeds, given):
        changed = job.changed
        words = [f"{name} {value}" for name, value in {**changed, **job.selected}.items()]
        title = ", ".join([f"{job.item} at profile {profile}", *words])
        click.echo(title, err=True)
        try:
            record = catalogue.compute(
                job.study,
                job.parameters,
                store=where,
                device=device,
                scheduler=scheduler,
                workers=workers,
            )
        except RunFailed as error:
            raise click.ClickException(error.sentence) from error
        click.echo(beside_the_paper(record, other_setting=bool(changed)))
        took = duration(record.provenance["wall_seconds"])
        click.echo(f"\n{title}: {took}; results are kept in {where.path}")
        if not changed:  # a published record has the paper's parameters
            click.echo(f"To make this the published record: {job.command('publish')}")


@main.command()
@options.items
@options.any_profile
@options.seeds
@options.parameters
@options.workers
@options.store
def plan(
    items: Sequence[str],
    profile: str | None,
    seeds: list[int] | None,
    given: dict[str, Any],
    workers: int | None,
    store: Path | None,
) -> None:
    """What remains to be computed, and how long it will take.

    \b
    Example: robustbook plan saturating/table-1 --profile paper
    """
    from robustbook import catalogue, ledger, runs

    from .jobs import jobs

    known: dict[str, float] = {}
    for record in ledger.read_records(catalogue.BOOK / "records"):
        seconds = record.provenance.get("known_seconds", {})  # whole ones are ints in a record
        known |= {kind: float(value) for kind, value in seconds.items()}
    asked = jobs(items, profile, seeds, given)
    for name in dict.fromkeys(job.profile for job in asked):
        own = [job for job in asked if job.profile == name]
        calls = [call for job in own for call in job.calls]  # what two items share counts once
        found = runs.plan(calls, runs.Store(store), known, workers=workers)
        click.echo(f"{', '.join(job.item for job in own)} at profile {name}:")
        click.echo(textwrap.indent(found.describe(), "  ") + "\n")


@main.command()
@options.items
@options.any_profile
@options.seeds
@options.store
def status(
    items: Sequence[str], profile: str | None, seeds: list[int] | None, store: Path | None
) -> None:
    """What is stored, stale, missing, and what is published.

    Stale results were made by older source; they are used until their step's version is raised.

    \b
    Example: robustbook status saturating/table-1 --profile paper
    """
    from robustbook import catalogue, ledger, runs

    from .jobs import jobs

    where = runs.Store(store)
    records = ledger.read_records(catalogue.BOOK / "records")
    published = {(f"{record.paper}/{record.item}", record.profile): record for record in records}
    line = "{:<32}{:<9}{:>7}{:>7}{:>9}{:>13}  {}"
    click.echo(line.format("item", "profile", "stored", "stale", "missing", "took", "published"))
    for job in jobs(items, profile, seeds):
        steps = runs.plan(job.calls, where).steps
        stored, stale, missing = (
            sum(getattr(step, name) for step in steps) for name in ("stored", "stale", "missing")
        )
        took = runs.duration(sum(step.spent for step in steps)) if stored + stale else "-"
        record = published.get((job.item, job.profile))
        date = record.provenance.get("date", "yes") if record else "-"
        click.echo(line.format(job.item, job.profile, stored, stale, missing, took, date))
    click.echo(f"\nResults are kept in {where.path}")


@main.command()
@options.items
@click.option("--profile", default="paper", show_default=True, help="quick, reduced or paper.")
@options.seeds
@options.parameters
@options.store
def publish(
    items: Sequence[str],
    profile: str,
    seeds: list[int] | None,
    given: dict[str, Any],
    store: Path | None,
) -> None:
    """Write the records that pages and ledger show.

    They come from what is stored; nothing is computed. Only parameters that choose parts of an item
    may be set: a record is of the paper's setting.

    \b
    Example: robustbook publish saturating/table-1 --profile paper
    """
    from robustbook import catalogue, ledger, runs

    from .jobs import jobs

    where = runs.Store(store)
    asked = jobs(items, profile, seeds, given)
    for job in asked:  # all of them, before the first is written
        for name in job.changed:
            parts = ", ".join(job.parameters.selects) or "none here"
            raise click.UsageError(
                f"{name} must stay as it is in what is published of {job.item}; parameters that "
                f"choose parts: {parts}"
            )
        found = runs.plan(job.calls, where)
        if found.missing:
            raise click.ClickException(
                f"{job.item} at profile {profile} lacks {found.missing} results; compute them "
                f"first: {job.command('run')}"
            )
        stale = sum(step.stale for step in found.steps)
        if stale:
            click.echo(f"robustbook: {stale} results of {job.item} are of older source", err=True)
    for job in asked:
        record = catalogue.compute(job.study, job.parameters, store=where, progress=False)
        # The time of this process is not the run's: the same results give the same file.
        same = {k: v for k, v in record.provenance.items() if k != "wall_seconds"}
        path = ledger.write_record(replace(record, provenance=same), catalogue.BOOK / "records")
        click.echo(f"{job.item} at profile {profile}: {len(record.rows)} rows in {path}")


@main.command("ledger")
@click.option("--paper", help="Only this paper: saturating, for example.")
@click.option("--item", help="Only this item: table-1, for example.")
@click.option("--profile", help="Only records of this profile; else the best there is.")
@click.option("--json", "as_json", is_flag=True, help="A list of objects for a program.")
def show_ledger(paper: str | None, item: str | None, profile: str | None, as_json: bool) -> None:
    """Every printed number beside ours, with the verdict.

    \b
    Example: robustbook ledger --paper saturating --item table-1
    """
    from robustbook import ledger

    found = ledger.build(PROJECT / "book", paper=paper, item=item, profile=profile)
    if as_json:
        click.echo(json.dumps(found.json(), indent=1, ensure_ascii=False))
    else:
        click.echo(ledger.text_table(found))


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", metavar="[OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: Sequence[str]) -> None:
    """Time the attacks beside those of other libraries.

    These go into an environment of their own, .venv-bench. The options are those of python -m
    benchmarks.attacks.

    \b
    Example: robustbook bench --data mnist --rounds 9
    """
    if not (PROJECT / "benchmarks" / "attacks.py").exists():
        raise click.ClickException(
            f"bench must be run from a checkout of the project, got {PROJECT}, where there is no "
            "benchmarks/attacks.py"
        )
    command = [sys.executable, "-m", "benchmarks.attacks", *arguments]
    sys.exit(subprocess.run(command, cwd=PROJECT).returncode)
