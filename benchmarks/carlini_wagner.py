"""Measure the seconds and the l2 distances of the Carlini-Wagner attack on a small CNN: ours, and
those of other libraries.

    python -m benchmarks.carlini_wagner                    # digits, which need no download
    python -m benchmarks.carlini_wagner --data mnist

All libraries use the same number of steps, step sizes, constant c and number of searches over c; by
default c is fixed. With the step size 0.01, the default of several libraries, 200 steps are too few
to converge; so by default all libraries also run with 0.1. If a library takes over ten times as
long as ours, it attacks only the first ten images, in one round. The module runs the libraries in
the environment of `benchmarks.attacks`. It prints a table and writes
`benchmarks/results/carlini_wagner.json`. Every library uses all CPU cores.
"""

from pathlib import Path
from typing import Any

import click

from benchmarks.attacks import ROOT, measured, write

RESULT = ROOT / "benchmarks" / "results" / "carlini_wagner.json"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table of text for a terminal."""
    lines = [
        f"{'step':5}{'library':32}{'s/1000':>8}{'to ours':>9}{'to floor':>9}"
        f"{'found':>8}{'mean l2':>9}"
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"{row['step_size']:<5g}{row['library']:32}{row['error']:.60}")
            continue
        floor = row.get("ratio_to_floor", float("nan"))
        lines.append(
            f"{row['step_size']:<5g}{row['library']:32}"
            f"{row['seconds_per_1000']:8.3g}{row['ratio_to_ours']:9.2f}"
            f"{floor:9.2f}{row['fooled']:7.1f}%{row['mean_distance']:9.4f}"
            + (f"  ({row['images']} images)" if "images" in row else "")
        )
    return "\n".join(lines)


@click.command(help="Time Carlini-Wagner beside other libraries. Example: --data mnist --rounds 5")
@click.option("--data", type=click.Choice(["digits", "mnist"]), default="digits")
@click.option("--weights", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--images", type=click.IntRange(10, 10_000), default=100, show_default=True)
@click.option("--c", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True)
@click.option("--searches", type=click.IntRange(1, 20), default=1, show_default=True)
@click.option("--steps", type=click.IntRange(10), default=200, show_default=True)
@click.option(
    "--step-size",
    "step_sizes",
    type=click.FloatRange(0, min_open=True),
    multiple=True,
    default=(0.01, 0.1),
    show_default=True,
    help="Adam's learning rate. Give the option several times for several rates.",
)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULT)
def main(
    data: str,
    weights: Path | None,
    images: int,
    c: float,
    searches: int,
    steps: int,
    step_sizes: tuple[float, ...],
    rounds: int,
    output: Path,
) -> None:
    report = measured(
        "carlini_wagner",
        data,
        weights,
        images,
        c=c,
        searches=searches,
        steps=steps,
        step_sizes=step_sizes,
        rounds=rounds,
    )
    click.echo(table(report["rows"]))
    write(report, output)


if __name__ == "__main__":
    main()
