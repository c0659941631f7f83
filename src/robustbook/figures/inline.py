"""Show images as HTML that contains the image data, so that no image file is needed."""

import base64
import io
from html import escape

import numpy as np
from jaxtyping import UInt8
from matplotlib.figure import Figure
from PIL import Image

from .style import style


def png(image: UInt8[np.ndarray, "h w"]) -> str:
    """Return a grey image as a data URL, which contains the image as a PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def drawing(figure: Figure, alt: str) -> str:
    """Return an HTML image that contains a figure as SVG, with the alternative text ``alt``."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img class="drawing" src="data:image/svg+xml;base64,{data}" alt="{escape(alt)}">'


def addition(
    image: tuple[UInt8[np.ndarray, "h w"], str, str],
    perturbation: tuple[UInt8[np.ndarray, "h w"], str, str],
    result: tuple[UInt8[np.ndarray, "h w"], str, str],
) -> str:
    """Return HTML that shows image + perturbation = result.

    Each argument is an image, its alternative text, and the HTML below it. The captions and the
    signs + and = are text, so that they have the text colour of the page.
    """
    figures = [
        f'<figure><img class="dark-light" src="{png(pixels)}" alt="{escape(alt)}">'
        f"<figcaption>{words}</figcaption></figure>"
        for pixels, alt, words in (image, perturbation, result)
    ]
    signs = ('<span aria-hidden="true">+</span>', '<span aria-hidden="true">=</span>')
    row = "\n".join([figures[0], signs[0], figures[1], signs[1], figures[2]])
    return f'<div class="example">\n{row}\n</div>\n'
