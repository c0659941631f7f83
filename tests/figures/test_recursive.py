"""The drawing of the recursive network: everything is drawn, each text in its box."""

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch

from robustbook.figures import Stage, recursive

STAGES = [
    Stage("block1.4", "1 x 1 convolution", "transposed, no bias", "$W$", (192, 32, 32), 30_880),
    Stage("pool", "2 x 2 maximum", "un-pool: to the maximum", "positions", (192, 16, 16), 0),
    Stage("fc", "10 units", "transposed, no bias", "$W$", (10,), 100),
]


@pytest.mark.parametrize("times", [1, 8])
def test_each_layer_has_two_boxes_and_every_text_is_inside_its_own(times: int) -> None:
    """A missing layer, or text outside its box, would be misleading."""
    figure = recursive(STAGES * times, (3, 32, 32))
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    assert len(boxes) == 2 * (3 * times + 2) + 3
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    inside: dict[str, list[int]] = {}
    words = [text for text in axes.texts if text.get_text()]
    extents = [text.get_window_extent() for text in words]
    assert not any(a.overlaps(b) for i, a in enumerate(extents) for b in extents[:i])
    for text in words:
        extent = text.get_window_extent()
        assert 0 <= extent.x0 < extent.x1 <= figure.bbox.x1, text.get_text()
        assert 0 <= extent.y0 < extent.y1 <= figure.bbox.y1, text.get_text()
        for number, box in enumerate(boxes):
            if extent.overlaps(box):
                inside.setdefault(text.get_text(), []).append(number)
                assert box.x0 < extent.x0 and extent.x1 < box.x1, text.get_text()
                assert box.y0 < extent.y0 and extent.y1 < box.y1, text.get_text()
    assert len(inside["block1.4: 1 x 1 convolution"]) == times
    assert inside["block1.4: 1 x 1 convolution"] == inside["192 x 32 x 32"]
    assert len(inside["un-pool: to the maximum"]) == times and len(inside["3 x 32 x 32"]) == 1
    kept = [text.get_text() for text in axes.texts if text.get_text() in ("$W$", "positions")]
    assert kept == ["$W$", "positions", "$W$"] * times
