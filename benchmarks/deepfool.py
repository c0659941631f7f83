"""Measure the seconds and the l2 distances of DeepFool on a small CNN: ours, and those of other
libraries.

    python -m benchmarks.deepfool                    # digits, which need no download
    python -m benchmarks.deepfool --data mnist       # the paper's images

Every library is compared with our preset for its algorithm, which must give the same images as the
library. Our default settings, and variants of them, are timed too. The module runs the libraries in
the environment of `benchmarks.attacks`. It prints a table and writes
`benchmarks/results/deepfool.json`. Every library uses all CPU cores.
"""

from pathlib import Path
from typing import Any

import click

from benchmarks.attacks import ROOT, measured, write

RESULT = ROOT / "benchmarks" / "results" / "deepfool.json"


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{'library':46}{'s/1000':>8}{'faster':>8}{'fooled':>9}{'mean l2':>9}{'differs by':>12}"
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"{row['library']:46}{row['error']:.50}")
            continue
        faster = row.get("times_faster_than_adv_lib")
        differs = row.get("largest_difference")
        lines.append(
            f"{row['library']:46}{row['seconds_per_1000']:8.3g}"
            + (f"{faster:8.2f}" if faster else f"{'':8}")
            + f"{row['fooled']:7.1f} %{row['mean_distance']:9.4f}"
            + (f"{differs:12.1e}" if differs is not None else "")
        )
    return "\n".join(lines)


@click.command(help="Time DeepFool beside other libraries. Example: --data mnist --rounds 5")
@click.option("--data", type=click.Choice(["digits", "mnist"]), default="digits")
@click.option("--weights", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--images", type=click.IntRange(10, 10_000), default=200, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULT)
def main(data: str, weights: Path | None, images: int, rounds: int, output: Path) -> None:
    report = measured("deepfool", data, weights, images, rounds=rounds)
    click.echo(table(report["rows"]))
    write(report, output)


if __name__ == "__main__":
    main()
