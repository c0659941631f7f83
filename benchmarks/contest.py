"""Time the attacks of all libraries in one interleaved run, after checking their results.

The module `benchmarks.attacks` runs this module in the environment that has the libraries. Each
round times every library and the floor once on the same batch. The order changes from round to
round. So if the machine slows down, all of them are affected. A ratio of two times is computed
within each round; the median over the rounds counts. The floor is the time of the network alone. It
makes the same numbers of forward passes and of backward passes to the input as robustbook's attack.
"""

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from robustbook.networks import CNN

from .rivals import LIBRARIES, Job, Settings

OURS = "robustbook"
SETTINGS = [
    Settings("fgsm", eps=0.25, steps=1, step_size=0.25, random_start=False),
    Settings("pgd-40", eps=0.25, steps=40, step_size=0.01, random_start=True),
]


class Counted(nn.Module):
    """A module that counts the images in forward passes and in backward passes."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.forwards, self.backwards = inner, 0, 0

    def forward(self, images: Tensor) -> Tensor:
        self.forwards += len(images)
        logits: Tensor = self.inner(images)
        if logits.requires_grad:
            logits.register_hook(self._back)
        return logits

    def _back(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


def contest(
    model: nn.Module, images: Tensor, labels: Tensor, given: Settings, rounds: int
) -> list[dict[str, Any]]:
    """Return one row per library: the results of its attack, its numbers of passes through the
    network, its seconds, and the ratios of its time to other times.
    """
    n = len(images)
    rows: list[dict[str, Any]] = []
    jobs: dict[str, Job] = {}
    for name, make in LIBRARIES.items():
        row: dict[str, Any] = {"attack": given.name, "library": name}
        rows.append(row)
        try:
            row["version"] = metadata.version(name) if name != OURS else "this one"
            counted = Counted(model).eval()
            adversarial, found = make(counted, given)(images, labels)
            row |= _answer(model, images, labels, adversarial, found, given)
            row["forwards_per_image"] = counted.forwards / n
            row["backwards_per_image"] = counted.backwards / n
            jobs[name] = make(model, given)
        except Exception as error:  # if a library fails, its error is the result
            row["error"] = f"{type(error).__name__}: {error}".splitlines()[0]
    ours = rows[0]
    if OURS not in jobs:
        raise RuntimeError(ours["error"])
    for row in rows:
        if "accuracy" in row:
            row["agrees"] = abs(row["accuracy"] - ours["accuracy"]) <= 1 and row["within_budget"]
    measures = {name: partial(timed, partial(job, images, labels)) for name, job in jobs.items()}
    measures["floor"] = partial(floor, model, images, labels, ours)
    seconds = interleaved(measures, rounds)
    for row in rows:
        if (name := row["library"]) in jobs:
            per_1000 = [1000 / n * second for second in seconds[name]]
            row["seconds_per_1000"] = digits(statistics.median(per_1000))
            row["seconds_per_1000_range"] = [digits(min(per_1000)), digits(max(per_1000))]
            row["ratio_to_ours"] = ratio(seconds[name], seconds[OURS])
            row["ratio_to_floor"] = ratio(seconds[name], seconds["floor"])
    return rows


def _answer(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    adversarial: Tensor,
    found: Tensor,
    given: Settings,
) -> dict[str, Any]:
    """Return three results: the accuracy under attack, whether the attack reports correctly on
    which images it succeeds, and whether its images stay within eps and [0, 1].
    """
    with torch.no_grad():
        fooled = model(adversarial).argmax(1) != labels
    change = float((adversarial - images).abs().max())
    box = float(adversarial.min()) >= 0 and float(adversarial.max()) <= 1
    return {
        "accuracy": 100 * (1 - float(fooled.double().mean())),
        "says_so_itself": bool((found == fooled).all()),
        "within_budget": box and change <= given.eps + 1e-6,
    }


def interleaved(measures: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each job in each round, after a first round that is not kept."""
    seconds: dict[str, list[float]] = {name: [] for name in measures}
    names = list(measures)
    for round_ in range(-1, rounds):
        shift = round_ % len(names)
        for name in names[shift:] + names[:shift]:
            second = measures[name]()
            if round_ >= 0:
                seconds[name].append(second)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return seconds


def timed(work: Callable[[], Any]) -> float:
    _wait()
    began = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - began


def floor(
    model: nn.Module, images: Tensor, labels: Tensor, counts: dict[str, Any], passes: int = 5
) -> float:
    """Return the seconds of the network alone, for as many passes as were counted."""
    forward = backward = 0.0
    leaf = images.clone().requires_grad_()
    for _ in range(passes):
        _wait()
        began = time.perf_counter()
        loss = nn.functional.cross_entropy(model(leaf), labels, reduction="sum")
        _wait()
        between = time.perf_counter()
        torch.autograd.grad(loss, leaf)
        _wait()
        forward += between - began
        backward += time.perf_counter() - between
    return (
        counts["forwards_per_image"] * forward + counts["backwards_per_image"] * backward
    ) / passes


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def ratio(seconds: list[float], others: list[float]) -> float:
    return digits(statistics.median(a / b for a, b in zip(seconds, others, strict=True)))


def digits(number: float) -> float:
    return float(f"{number:.4g}")


def run(name: str, contest: Callable[..., list[dict[str, Any]]], settings: str) -> None:
    """Run a contest on the network and the images in the file ``<name>.safetensors`` of the working
    folder, and write its rows to ``<name>.json``. The settings are JSON.
    """
    warnings.simplefilter("ignore")  # do not print deprecation warnings of other libraries
    model, images, labels = _problem(f"{name}.safetensors")
    rows = contest(model, images, labels, **json.loads(settings))
    torch_version = torch.__version__.split("+")[0]
    found = {"rows": rows, "torch": torch_version, "threads": torch.get_num_threads()}
    Path(f"{name}.json").write_text(json.dumps(found))


def _problem(file: str) -> tuple[nn.Module, Tensor, Tensor]:
    tensors = load_file(file)
    images, labels = tensors.pop("images"), tensors.pop("labels")
    model = CNN()
    model.load_state_dict(tensors)
    return model.eval(), images, labels


def main(request: str) -> None:
    """Read from a JSON file what to time, and write the rows to the file that it names."""
    asked = json.loads(Path(request).read_text())
    warnings.simplefilter("ignore")  # do not print deprecation warnings of other libraries
    model, images, labels = _problem(asked["tensors"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device)
    images, labels = images.to(device), labels.to(device)
    with torch.no_grad():
        clean = 100 * float((model(images).argmax(1) == labels).double().mean())
    rows = []
    for given in SETTINGS:
        print(f"{given.name}: {asked['rounds']} rounds ", end="", file=sys.stderr, flush=True)
        rows += contest(model, images, labels, given, asked["rounds"])
    result = {
        "clean_accuracy": clean,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "python": sys.version.split()[0],
        "torch": torch.__version__.split("+")[0],
        "settings": [asdict(given) for given in SETTINGS],
        "rows": rows,
    }
    Path(asked["result"]).write_text(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
