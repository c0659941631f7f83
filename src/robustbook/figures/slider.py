"""Make a slider that switches between prepared pictures, as HTML with a few lines of JavaScript.

The slider is an ordinary range input, so the arrow keys move it. Without JavaScript there is no
slider, and all pictures are visible, one below the other.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# A notebook does not have the book's style sheet, so the frames bring their styles.
_STYLE = (
    "<style>.frames .example{display:flex;align-items:center;justify-content:center;gap:1em}"
    ".frames .example figure{flex:0 1 11em;min-width:0;margin:0;text-align:center}"
    ".frames .example figure img{width:100%;image-rendering:pixelated}"
    ".frames .drawing{display:block;width:100%;max-width:27em;margin:auto}"
    ".frames .frame-words{text-align:center;line-height:1.8}"
    ".frames-control{display:flex;gap:.6em;align-items:center;justify-content:center}"
    ".frames-control[hidden]{display:none}.frames-control input{flex:0 1 16em}"
    ".frames-control output{min-width:5em}"
    "@media(max-width:30em){.frames .example{gap:.2em}"
    ".frames .example figure{flex:1 1 0}}</style>"
)
_SCRIPT = """<script>(() => {
  const box = document.getElementById("NAME");
  const control = box.querySelector(".frames-control");
  const range = control.querySelector("input");
  const frames = Array.from(box.querySelectorAll(".frame"));
  const show = () => {
    frames.forEach((frame, i) => { frame.hidden = i !== Number(range.value); });
    const value = frames[range.value].dataset.value;
    control.querySelector("output").value = value;
    range.setAttribute("aria-valuetext", value);
  };
  range.addEventListener("input", show);
  control.hidden = false;
  show();
})();</script>"""


@dataclass(frozen=True)
class Frame:
    """One position of a slider: its value as text, and the HTML that is shown at this position."""

    value: str
    html: str


@dataclass(frozen=True)
class Slider:
    """The slider that the function `slider` returns, in two forms: as HTML for the book and for
    notebooks, and as plain text.
    """

    html: str
    plain: str

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.plain}


def slider(name: str, label: str, frames: Sequence[Frame], *, start: int = 0) -> Slider:
    """Return a slider that shows one of the frames, at first the one with index ``start``.

    ``name``: the HTML id; small letters, digits and hyphens, unique on the page.
    ``label``: what the slider changes, such as "eps".

    Raises ValueError for an invalid ``name``, for fewer than two frames, and if no frame has the
    index ``start``.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise ValueError(f"name must be small letters, digits and hyphens, got {name!r}")
    if len(frames) < 2:
        raise ValueError(f"frames must be two or more, got {len(frames)}")
    if not 0 <= start < len(frames):
        raise ValueError(f"start must be in 0..{len(frames) - 1}, got {start}")
    control = (
        f'<div class="frames-control" hidden><label for="{name}-range">{escape(label)}</label>'
        f'<input type="range" id="{name}-range" min="0" max="{len(frames) - 1}" step="1" '
        f'value="{start}" autocomplete="off"><output for="{name}-range"></output></div>'
    )
    shown = "\n".join(
        f'<div class="frame" data-value="{escape(each.value)}">\n{each.html}\n</div>'
        for each in frames
    )
    html = "\n".join(
        [
            _STYLE,
            f'<div class="frames" id="{name}">',
            control,
            shown,
            "</div>",
            _SCRIPT.replace("NAME", name),
        ]
    )
    return Slider(html, f"{label}: {', '.join(each.value for each in frames)}")
