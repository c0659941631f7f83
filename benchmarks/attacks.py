"""Measure FGSM and PGD-40, ours and those of other libraries, on the CNN: seconds per 1000 images,
and passes through the network per image.

    python -m benchmarks.attacks                     # digits, which need no download
    python -m benchmarks.attacks --data mnist        # the paper's images
    python -m benchmarks.attacks --weights cnn.safetensors --data mnist

The other libraries are installed in a separate environment, `.venv-bench`, which is made on the
first run. If a library cannot be installed, or if it fails, the error is reported in one line. The
module prints a table and writes `benchmarks/results/attacks.json`. Every library uses all CPU
cores.
"""

import datetime
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import torch
from safetensors.torch import load_file, save_file

from benchmarks.data import load
from robustbook.data import as_float
from robustbook.networks import CNN, initialise
from robustbook.randomness import generator
from robustbook.training import Recipe, fit

ROOT = Path(__file__).parent.parent
VENV = ROOT / ".venv-bench"
RESULT = ROOT / "benchmarks" / "results" / "attacks.json"
WORK = ROOT / "_build" / "bench"
NEEDED = ["torch", "safetensors", "jaxtyping", "numpy"]
RIVALS = {
    "foolbox": "foolbox==3.3.4",
    "torchattacks": "torchattacks==3.3.0",
    "adv-lib": "adv-lib==0.2.8",
    "cleverhans": "cleverhans==4.0.0",
    "adversarial-robustness-toolbox": "adversarial-robustness-toolbox==1.20.1",
}


@click.command(help="Time FGSM and PGD-40 beside other libraries. Example: --data mnist --rounds 9")
@click.option("--data", type=click.Choice(["digits", "mnist"]), default="digits")
@click.option("--weights", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--images", type=click.IntRange(10, 10_000), default=200, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULT)
def main(data: str, weights: Path | None, images: int, rounds: int, output: Path) -> None:
    failures = install()
    load_before = round(os.getloadavg()[0], 1)
    if load_before > 0.5:
        click.echo(f"other work is running (load {load_before}): expect noise", err=True)
    asked = {
        "tensors": str(problem("contest", data, weights, images)),
        "rounds": rounds,
        "result": str(WORK / "contest.json"),
    }
    (WORK / "request.json").write_text(json.dumps(asked))
    execute("contest", str(WORK / "request.json"))
    measured = json.loads((WORK / "contest.json").read_text())
    for row in measured["rows"]:  # report why the library is not installed, not the failed import
        if "error" in row and row["library"] in failures:
            row["error"] = failures[row["library"]]
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": {"processor": processor(), "cores": os.cpu_count(), "system": platform.system()},
        "data": data,
        "network": f"CNN of Table 2, trained on {data}" if not weights else weights.name,
        "images": images,
        "rounds": rounds,
        "load_before": load_before,
        **measured,
    }
    click.echo(table(report))
    write(report, output)


def problem(name: str, data: str, weights: Path | None, images: int) -> Path:
    """Write a network's weights and the first labelled test images to a file; return the file."""
    WORK.mkdir(parents=True, exist_ok=True)
    tensors = load_file(weights) if weights else trained(data)
    test = load(data, "test").subset(images)
    tensors |= {"images": as_float(test.images), "labels": test.labels}
    path = WORK / f"{name}.safetensors"
    save_file(tensors, path)
    return path


def measured(
    name: str, data: str, weights: Path | None, images: int, **settings: Any
) -> dict[str, Any]:
    """Run the module ``<name>_contest`` of this folder, which times all libraries; return its
    result, the settings, and a description of the machine.
    """
    failures = install()
    load_before = round(os.getloadavg()[0], 1)
    problem(name, data, weights, images)
    execute(f"{name}_contest", json.dumps(settings))
    found = json.loads((WORK / f"{name}.json").read_text())
    for row in found["rows"]:  # report why the library is not installed, not the failed import
        if "error" in row and row["library"] in failures:
            row["error"] = failures[row["library"]]
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load_before": load_before,
        "data": data,
        "images": images,
        **settings,
        **found,
    }


def write(report: dict[str, Any], output: Path) -> None:
    """Write a benchmark's result as JSON."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n")
    click.echo(f"written to {output}")


def execute(contest: str, *arguments: str) -> None:
    """Run a module of this folder in the environment that has the other libraries installed."""
    source = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    subprocess.run(
        [VENV / "bin" / "python", "-m", f"benchmarks.{contest}", *arguments],
        check=True,
        cwd=WORK,
        env={**os.environ, "PYTHONPATH": source, "GIT_PYTHON_REFRESH": "quiet"},
    )


def install() -> dict[str, str]:
    """Install the libraries of RIVALS in `.venv-bench`; return an error of one line for each
    failure.
    """
    stamp = VENV / "installed.json"
    wanted = [*NEEDED, *RIVALS.values()]
    if stamp.exists() and (done := json.loads(stamp.read_text()))["wanted"] == wanted:
        failures: dict[str, str] = done["failures"]
        return failures
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise click.ClickException("uv is needed to build .venv-bench; run: pip install uv")
    click.echo("building .venv-bench (once; some minutes)", err=True)
    WORK.mkdir(parents=True, exist_ok=True)
    # The build of visdom, which adv-lib needs, uses a module that setuptools 81 no longer has.
    (WORK / "build.txt").write_text("setuptools<81\n")
    subprocess.run([uv, "venv", "-q", "--clear", "--python", sys.executable, VENV], check=True)
    into = [uv, "pip", "install", "-q", "--python", VENV / "bin" / "python"]
    into += ["-c", ROOT / "constraints.txt", "--build-constraints", WORK / "build.txt"]
    subprocess.run([*into, *NEEDED], check=True)
    failures = {}
    for name, requirement in RIVALS.items():
        made = subprocess.run([*into, requirement], capture_output=True, text=True)
        if made.returncode:
            lines = [line.strip() for line in made.stderr.splitlines() if line.strip()]
            failures[name] = f"does not install: {lines[0] if lines else 'no message'}"
    stamp.write_text(json.dumps({"wanted": wanted, "failures": failures}))
    return failures


def trained(data: str) -> dict[str, torch.Tensor]:
    """Return the weights of a CNN. The first call trains it for about a minute, and stores the
    weights for later calls.
    """
    kept = WORK / f"cnn-{data}.safetensors"
    if not kept.exists():
        click.echo(f"training the CNN on {data} (once; a minute)", err=True)
        model = CNN()
        initialise(model, "truncated", generator(0, "benchmark"))
        train = load(data, "train")

        def objective(net: Any, images: Any, labels: Any, coefficient: Any) -> dict[str, Any]:
            return {"loss": torch.nn.functional.cross_entropy(net(images), labels)}

        recipe = Recipe(steps=300, batch_size=50, lr=1e-3)
        fit(model, train.images, train.labels, objective, recipe, seed=0)
        save_file(model.state_dict(), kept)
    return load_file(kept)


def processor() -> str:
    """Return the processor's name or, if the system does not tell it, the machine type."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table(report: dict[str, Any]) -> str:
    """Return the result as text for a terminal."""
    machine = report["machine"]
    lines = [
        f"{report['network']}; {report['images']} images, {report['rounds']} rounds, "
        f"{report['device']}, {machine['processor']}, {report['threads']} threads; "
        f"clean accuracy {report['clean_accuracy']:.1f} %",
        f"{'attack':8}{'library':32}{'s/1000':>8}{'to ours':>9}{'to floor':>9}"
        f"{'fwd':>7}{'bwd':>7}{'accuracy':>10}",
    ]
    for row in report["rows"]:
        start = f"{row['attack']:8}{row['library']:32}"
        if "error" in row:
            lines.append(f"{start}{row['error']:.60}")
            continue
        lines.append(
            f"{start}{row['seconds_per_1000']:8.3g}{row['ratio_to_ours']:9.3f}"
            f"{row['ratio_to_floor']:9.3f}{row['forwards_per_image']:7.1f}"
            f"{row['backwards_per_image']:7.1f}{row['accuracy']:8.1f} %"
            + ("" if row["agrees"] else "  DIFFERS")
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
