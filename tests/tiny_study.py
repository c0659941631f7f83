"""A study of two short steps for the tests of the command line; each run leaves a note."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from robustbook.data import DataError
from robustbook.ledger import Record, Row
from robustbook.runs import Call, Done, step
from robustbook.studies import parameters
from robustbook.studies.parameters import STRICT

PAPER, ITEM = "saturating", "tiny"


@dataclass(frozen=True, config=STRICT)
class Parameters(parameters.Parameters):
    """One number, and one word that only chooses a part."""

    own_seeds: ClassVar = {"quick": (0,), "paper": (0, 1, 2)}
    selects: ClassVar = ("word",)
    height: Annotated[float, Field(gt=0, le=9, description="a number above 0, at most 9")] = 3.0
    word: Annotated[str, Field(description="a word")] = "plain"


def note(text: str) -> None:
    """Write a note to the folder TINY_LOG; a file `at-<text>` there tells the step what to do."""
    folder = Path(os.environ["TINY_LOG"])
    with (folder / "log").open("a") as log:
        log.write(text + "\n")
    event = folder / f"at-{text}"
    if event.exists():
        what = event.read_text()
        if what == "interrupt":
            raise KeyboardInterrupt
        if what == "lack data":
            raise DataError("a file is not in the folder")
        if what == "fail":
            raise RuntimeError("out of\npaper")
        time.sleep(60)


@step(version=1)
def build(height: float) -> dict[str, object]:
    note("build")
    return {"height": height}


@step(version=1)
def measure(built: Done, seed: int) -> dict[str, object]:
    note(f"measure {seed}")
    return {"height": built.values["height"] + seed / 10}


def calls(p: Parameters) -> dict[int, Call]:
    assert p.seeds is not None
    return {seed: measure(build(p.height), seed) for seed in p.seeds}


def condense(p: Parameters, results: Mapping[Any, Done]) -> Record:
    assert p.seeds is not None
    rows = [
        Row(results[seed].values["height"], "none", "saturating/tiny/height", seed=seed)
        for seed in p.seeds
    ]
    rows += [Row(1.0, "none", name="control", seed=seed) for seed in p.seeds]
    return Record(PAPER, ITEM, p.profile, p.plain(), p.seeds, tuple(rows))
