"""Drawing: the book's one style, and its numbered tables."""

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
    "draw_band",
    "draw_intervals",
    "draw_printed",
    "draw_seeds",
    "panels",
    "style",
    "table",
]
