from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from robustbook.ledger import Measurement, Row, Target

BOOK = Path(__file__).parents[2] / "book"

TARGET = Target(
    id="saturating/table-1/cnn/accuracy",
    name="CNN: accuracy",
    paper="saturating",
    item="table-1",
    setting="CNN; MNIST",
    metric="accuracy",
    unit="percent",
    printed=None,
    as_printed="",
    kind="printed",
    compare="shape",
    partner=None,
    tolerance=0.0,
    source="Table 1",
    note="",
)


@pytest.fixture
def book() -> Path:
    """Return the committed book folder."""
    return BOOK


@pytest.fixture
def target() -> Callable[..., Target]:
    """Return a target with the given fields changed."""
    return lambda **changes: replace(TARGET, **changes)


@pytest.fixture
def measured() -> Callable[..., Measurement]:
    """Return one row per value, with seeds 0, 1, ... unless given."""

    def make(*values: float, profile: str = "paper", seeds=None, holds=None, **row) -> Measurement:
        seeds = range(len(values)) if seeds is None else seeds
        holds = [None] * len(values) if holds is None else holds
        row = {"unit": "percent", "target": TARGET.id} | row
        rows = (
            Row(value=v, seed=s, holds=h, **row)
            for v, s, h in zip(values, seeds, holds, strict=True)
        )
        return Measurement("table-1", profile, tuple(rows))

    return make
