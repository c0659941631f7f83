"""Drawing: the book's one style, and its numbered tables."""

from .anneal import anneal
from .readings import readings
from .style import (
    BRIGHT,
    HALF,
    LOOKS,
    WIDTH,
    Look,
    draw_band,
    draw_intervals,
    draw_printed,
    draw_seeds,
    panels,
    style,
)
from .tables import Table, table

__all__ = [
    "BRIGHT",
    "HALF",
    "LOOKS",
    "WIDTH",
    "Look",
    "Table",
    "anneal",
    "draw_band",
    "draw_intervals",
    "draw_printed",
    "draw_seeds",
    "panels",
    "readings",
    "style",
    "table",
]
