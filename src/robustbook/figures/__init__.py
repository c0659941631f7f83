"""Draw figures in the book's common style, and write numbered tables."""

from .anneal import anneal
from .curves import curves
from .descent import Trail, descent
from .differences import differences
from .grid import grid
from .heat import heat, surfaces
from .histograms import Bars, histograms
from .inline import addition, drawing, png
from .kurtosis import kurtosis
from .lines import Curve, Panel, lines, strips
from .maps import Map, maps
from .matrices import matrices, unfold
from .noise_layers import noise_layers
from .parts import parts
from .paths import paths
from .pictures import Picture, pictures
from .plane import Paths, Plane, plane
from .points import Points, Scatter, scatters
from .readings import readings
from .recursive import Stage, recursive
from .slider import Frame, Slider, slider
from .style import (
    BESIDE,
    BRIGHT,
    HALF,
    HOLLOW,
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
from .tables import MISSING, Table, table

__all__ = [
    "BESIDE",
    "BRIGHT",
    "Bars",
    "Curve",
    "Frame",
    "HALF",
    "HOLLOW",
    "LOOKS",
    "MISSING",
    "Look",
    "Map",
    "Panel",
    "Points",
    "Scatter",
    "Paths",
    "Picture",
    "Plane",
    "Slider",
    "Stage",
    "Table",
    "Trail",
    "WIDTH",
    "addition",
    "anneal",
    "curves",
    "descent",
    "differences",
    "draw_band",
    "draw_intervals",
    "draw_printed",
    "draw_seeds",
    "drawing",
    "grid",
    "heat",
    "histograms",
    "kurtosis",
    "lines",
    "maps",
    "matrices",
    "noise_layers",
    "panels",
    "parts",
    "paths",
    "pictures",
    "plane",
    "png",
    "readings",
    "recursive",
    "scatters",
    "slider",
    "strips",
    "style",
    "surfaces",
    "table",
    "unfold",
]
