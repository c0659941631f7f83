"""Define the commands of the command line. Slow modules are imported inside the functions of the
commands, so that --help is quick.
"""

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from robustbook.counting import number_of
from robustbook.studies.items import ITEMS

from . import options

PROJECT = Path(__file__).resolve().parents[3]
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(cls=options.Commands)
@click.version_option(package_name="robustbook", message="robustbook %(version)s")
def main() -> None:
    """Re-run the experiments of papers on adversarial examples.

    \b
    Example: robustbook run saturating/table-1 --profile quick

    An item is a table, figure or claim of a paper. Without an item, a command uses all items. With
    ROBUSTBOOK_TRACEBACK=1, errors print a traceback.
    """


main.epilog = "\b\nItems:\n" + "\n".join(f"  {name:<33} {of.title}" for name, of in ITEMS.items())


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
    help="Folder of the original data files; default: ROBUSTBOOK_DATA, else a cache.",
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
    """Compute missing results, and compare our numbers with the paper's numbers.

    \b
    Example: robustbook run saturating/table-1 --profile quick --seeds 0:5 --set eps=0.1
    """
    from robustbook import catalogue, data, ledger, publishing
    from robustbook.durations import duration
    from robustbook.runs import RunFailed, Store

    from .jobs import beside_the_paper, jobs

    # Dask would wait forever for any other address.
    if scheduler and not re.fullmatch(r"\w+://.+:\d+", scheduler):
        raise click.UsageError(f"scheduler must be like tcp://host:8786, got {scheduler!r}")
    if workers is not None and scheduler:
        raise click.UsageError(
            f"workers must not be given with a scheduler, which has its own, got {workers}"
        )
    if data_root and scheduler:
        raise click.UsageError(
            f"data-root must not be given with a scheduler, got {data_root}; set ROBUSTBOOK_DATA "
            "for its workers instead"
        )
    if data_root:  # worker processes inherit the environment
        os.environ["ROBUSTBOOK_DATA"] = str(data_root.absolute())
    if not scheduler:
        data.data_root()  # reports a misspelt ROBUSTBOOK_DATA before any work
    where = Store(store)
    asked = jobs(items, profile, seeds, given)
    ledger.read_targets(catalogue.BOOK / "targets")  # reports faults before any work
    for job in asked:
        changed = job.changed
        every = {**changed, **job.selected}
        words = [f"{name} {json.dumps(value)}" for name, value in every.items()]
        title = ", ".join([f"{job.item} with profile {profile}", *words])
        click.echo(title, err=True)
        try:
            record = publishing.compute(
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
        # Only results of real data with the paper's parameters can become the book's record.
        if not changed and profile != "quick":
            click.echo(f"To make this the book's record: {job.command('publish', store)}")


@main.command()
@options.items
@options.any_profile
@options.seeds
@options.parameters
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="auto, cpu, cuda, cuda:N, or the name of a GPU on which stored results were computed.",
)
@options.workers
@options.store
def plan(
    items: Sequence[str],
    profile: str | None,
    seeds: list[int] | None,
    given: dict[str, Any],
    device: str,
    workers: int | None,
    store: Path | None,
) -> None:
    """Show which results are still to be computed, and how long this takes on a device.

    Times are estimated from results in the store or in the book's records that were computed on the
    same kind of device. The time of a stored result with another number of images or optimiser
    steps, or another batch size, is scaled. If results differ in any other parameter, no time is
    estimated.

    \b
    Example: robustbook plan saturating/table-1 --profile paper
    """
    from robustbook import publishing, runs

    from .jobs import device_named, jobs

    where, known = runs.Store(store), publishing.known_seconds()
    device = device_named(device, [*known, *where.devices()])
    asked = jobs(items, profile, seeds, given)
    for name in dict.fromkeys(job.profile for job in asked):
        own = [job for job in asked if job.profile == name]
        # Function calls that several items share count once.
        calls = [call for job in own for call in job.calls]
        found = runs.plan(calls, where, known.get(device), device=device, workers=workers)
        click.echo(f"{', '.join(job.item for job in own)} with profile {name}:")
        click.echo(textwrap.indent(found.describe(), "  "))
        click.echo(f"  Times are those of {device}.\n")


@main.command()
@options.items
@options.any_profile
@options.seeds
@options.parameters
@options.store
def status(
    items: Sequence[str],
    profile: str | None,
    seeds: list[int] | None,
    given: dict[str, Any],
    store: Path | None,
) -> None:
    """Count stored, stale and missing results, and show the date of the book's record.

    A stale result was computed by older source code. Stale results are used as long as the version
    number of the function that computed them stays the same. Only results with the default values
    of all parameters are counted, or with the values that --set gives.

    \b
    Example: robustbook status saturating/table-1 --profile paper
    """
    from robustbook import catalogue, ledger, runs
    from robustbook.durations import duration

    from .jobs import jobs

    where = runs.Store(store)
    records = ledger.read_records(catalogue.BOOK / "records")
    published = {(f"{record.paper}/{record.item}", record.profile): record for record in records}
    asked = jobs(items, profile, seeds, given)
    line = f"{{:<{max(len(job.item) for job in asked)}}}  " + "{:<9}{:>7}{:>7}{:>9}{:>13}  {}"
    click.echo(line.format("item", "profile", "stored", "stale", "missing", "took", "published"))
    damaged = set()
    for job in asked:
        damaged |= {key for key, call in runs.graph(job.calls).items() if where.damaged(call)}
        steps = runs.plan(job.calls, where).steps
        stored, stale, missing = (
            sum(getattr(step, name) for step in steps) for name in ("stored", "stale", "missing")
        )
        took = duration(sum(step.spent for step in steps)) if stored + stale else "-"
        record = published.get((job.item, job.profile))
        date = record.provenance.get("date", "yes") if record else "-"
        click.echo(line.format(job.item, job.profile, stored, stale, missing, took, date))
    if damaged:
        click.echo(
            f"\n{number_of('result', len(damaged))} damaged, to be computed again when needed"
        )
    click.echo(f"\nResults are kept in {where.path}")


@main.command()
@options.items
@click.option("--profile", default="paper", show_default=True, help="quick, reduced or paper.")
@options.seeds
@options.parameters
@click.option(
    "--replace", is_flag=True, help="Overwrite the book's record, whose rows are then lost."
)
@options.store
def publish(
    items: Sequence[str],
    profile: str,
    seeds: list[int] | None,
    given: dict[str, Any],
    replace: bool,
    store: Path | None,
) -> None:
    """Write the book's records, which the pages and the ledger show.

    The records are made from stored results; nothing is computed. A record is always computed with
    the parameters of its profile. Only parameters that choose parts of an item, such as networks,
    may be set, and the number of test images, which every row states. Stored seeds and parts that
    the book's record lacks are added to it. The command refuses to delete a row of the book's
    record or to change its value.

    \b
    Example: robustbook publish saturating/table-1 --profile paper
    """
    from robustbook import catalogue, ledger, publishing, runs

    from .jobs import jobs

    where = runs.Store(store)
    asked = jobs(items, profile, seeds, given)
    ledger.read_targets(catalogue.BOOK / "targets")  # reports faults before any work
    records = []
    for job in asked:  # check everything before the first record is written
        for name in job.changed:
            parts = ", ".join((*job.parameters.selects, *job.parameters.sizes)) or "none"
            raise click.UsageError(
                f"{name} must have the value in the book's record of {job.item}; parameters "
                f"that may be set: {parts}"
            )
        found = runs.plan(job.calls, where)
        if found.missing:
            raise click.ClickException(
                f"{job.item} with profile {profile} lacks {number_of('result', found.missing)}; "
                f"compute what is missing first: {job.command('run', store)}"
            )
        stale = sum(step.stale for step in found.steps)
        if stale:
            click.echo(
                f"robustbook: {number_of('result', stale)} of {job.item} from older source code",
                err=True,
            )
        paper, _, name = job.item.partition("/")
        there = ledger.record_path(catalogue.BOOK / "records", paper, name, profile)
        published = ledger.read_record(there) if there.exists() and not replace else None
        try:
            records.append(publishing.publishable(job.study, job.parameters, where, published))
        except ledger.Conflict as error:
            raise click.ClickException(
                f"{job.item} with profile {profile} is not published: {error}; robustbook take "
                "copies the results of the book's record into the store, --replace overwrites it"
            ) from error
    folder = catalogue.BOOK / "records"
    for job, record in zip(asked, records, strict=True):
        try:
            path = ledger.write_record(record, folder)
        except OSError as error:
            raise click.ClickException(
                f"{folder} must be a folder that can be written to, got: {error}"
            ) from error
        click.echo(f"{job.item} with profile {profile}: {len(record.rows)} rows in {path}")


@main.command()
@click.argument("folders", nargs=-1, required=True, type=_FOLDER, metavar="FOLDER...")
@options.store
def take(folders: Sequence[Path], store: Path | None) -> None:
    """Copy results from other machines into the store.

    A folder is the store of another machine, or a folder that "robustbook give" has written. The
    hashes of each result are checked. Damaged results, and files that are no results, are listed
    and left out; then the exit code is 1. Results that are already in the store are not replaced.

    \b
    Example: robustbook take results-of-the-gpu
    """
    from robustbook.runs import Refused, Store

    where = Store(store)
    files: list[Path] = []
    for folder in folders:
        # scratch/ has the notes and checkpoints of function calls in progress.
        found = [
            path
            for path in folder.glob("**/*.json")
            if "scratch" not in path.relative_to(folder).parts
        ]
        if not found:
            lack = "has no result" if folder.exists() else "does not exist"
            raise click.UsageError(
                f"folder must be a store or written by robustbook give, got {folder}, which {lack}"
            )
        files += sorted(found)
    where.check_writable()
    taken = there = refused = 0
    for folder in folders:
        for path in sorted(folder.glob("**/*.elsewhere")):
            where.take_note(path)
    for path in files:
        try:
            new = where.take(path)
        except Refused as error:
            refused += 1
            click.echo(f"robustbook: {error}", err=True)
        else:
            taken, there = taken + new, there + (not new)
    click.echo(
        f"{number_of('result', taken)} taken, {there} were there already, {refused} refused; "
        f"results are kept in {where.path}"
    )
    sys.exit(1 if refused else 0)


@main.command()
@click.argument("folder", type=_FOLDER)
@options.items
@options.any_profile
@options.seeds
@options.parameters
@options.store
def give(
    folder: Path,
    items: Sequence[str],
    profile: str | None,
    seeds: list[int] | None,
    given: dict[str, Any],
    store: Path | None,
) -> None:
    """Copy results into a folder, from which another machine can take them.

    The command copies only stored results from which records are made. Intermediate results, such
    as weights of networks, are left out.

    \b
    Example: robustbook give for-the-laptop saturating/table-1 --profile paper
    """
    from robustbook.runs import Store

    from .jobs import jobs

    where, other = Store(store), Store(folder)
    calls = {call.key: call for job in jobs(items, profile, seeds, given) for call in job.calls}
    stored = [call for call in calls.values() if where.peek(call) is not None]
    damaged = sum(where.damaged(call) for call in calls.values())
    words = f"; damaged: {damaged}" if damaged else ""
    if not stored:
        raise click.ClickException(
            f"none of the {len(calls)} results that were asked for is in the store {where.path}"
            f"{words}"
        )
    other.check_writable()
    copied = [where.give(call, other) for call in stored]
    size, new = sum(size for size, _ in copied), sum(new for _, new in copied)
    click.echo(
        f"{number_of('result', len(stored))}, {size / 1e6:.1f} MB, in {other.path}; {new} of them "
        "new"
    )
    if len(stored) < len(calls):
        missing = len(calls) - len(stored) - damaged
        click.echo(
            f"not in {where.path}: {number_of('result', missing)} that were asked for{words}"
        )


@main.command("ledger")
@click.argument("name", metavar="[PAPER/ITEM]", required=False)
@click.option("--paper", help="Only this paper: saturating, for example.")
@click.option("--item", help="Only this table, figure or claim: table-1, for example.")
@click.option("--profile", help="Only measurements with this profile; default: the best.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, a list of objects, for programs."
)
def show_ledger(
    name: str | None, paper: str | None, item: str | None, profile: str | None, as_json: bool
) -> None:
    """Print the papers' numbers, our measurements and the verdicts.

    PAPER/ITEM is an item of the command run, whose page may compare several tables of its paper.

    \b
    Example: robustbook ledger saturating/table-1
    """
    from robustbook import catalogue, ledger

    chosen = [(paper, item)]
    if name:
        from .jobs import ledger_items

        if paper or item:
            word = f"--paper {paper}" if paper else f"--item {item}"
            raise click.UsageError(f"paper and item must not be given with {name}, got {word}")
        chosen = [*ledger_items(name)]
    parts = [
        catalogue.whole_ledger(PROJECT / "book", paper=paper, item=item, profile=profile)
        for paper, item in chosen
    ]
    found = ledger.Ledger(
        tuple(entry for part in parts for entry in part.entries),
        tuple(target for part in parts for target in part.context),
    )
    if as_json:
        click.echo(json.dumps(found.json(), indent=1, ensure_ascii=False))
    else:
        click.echo(ledger.text_table(found))


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", metavar="[OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
def bench(arguments: Sequence[str]) -> None:
    """Measure the run times of our attacks and of the attacks of other libraries.

    The other libraries are installed in a separate environment, .venv-bench. The options are those
    of python -m benchmarks.attacks.

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
