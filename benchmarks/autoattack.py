"""Measure APGD, FAB and AutoAttack on an adversarially trained CNN: the seconds and the accuracy
under attack of our attacks, and those of other libraries.

    python -m benchmarks.autoattack                    # digits, which need no download
    python -m benchmarks.autoattack --data mnist

The module runs the libraries in the environment of `benchmarks.attacks`. It prints a table and
writes `benchmarks/results/autoattack.json`. Every library uses all CPU cores.
"""

from pathlib import Path
from typing import Any

import click

from benchmarks.attacks import ROOT, measured, write

RESULT = ROOT / "benchmarks" / "results" / "autoattack.json"


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a table of text for a terminal."""
    lines = [f"{'attack':12}{'library':14}{'s/1000':>8}{'to ours':>9}{'accuracy':>10}"]
    for row in rows:
        name = f"{row['attack']:12}{row['library']:14}"
        if "error" in row:
            lines.append(f"{name}{row['error']:.60}")
            continue
        lines.append(
            f"{name}{row['seconds_per_1000']:8.3g}{row['ratio_to_ours']:9.2f}{row['accuracy']:9.1f}%"
        )
    return "\n".join(lines)


@click.command(help="Time AutoAttack beside other libraries. Example: --data mnist --rounds 3")
@click.option("--data", type=click.Choice(["digits", "mnist"]), default="digits")
@click.option("--weights", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--images", type=click.IntRange(10, 10_000), default=100, show_default=True)
@click.option("--eps", type=click.FloatRange(0, 1, min_open=True), default=0.06, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULT)
def main(
    data: str, weights: Path | None, images: int, eps: float, rounds: int, output: Path
) -> None:
    report = measured("autoattack", data, weights, images, eps=eps, rounds=rounds)
    click.echo(table(report["rows"]))
    write(report, output)


if __name__ == "__main__":
    main()
