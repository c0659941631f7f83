"""Where a line must not break: before a percent sign, after a hyphen in a name, at the punctuation
beside an equation.

A browser breaks lines at blanks, at hyphens, and on both sides of an inline equation.
"""

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

JOINER = "\N{WORD JOINER}"
HYPHEN = "\N{NON-BREAKING HYPHEN}"
NAMES = re.compile(r"\b(CIFAR|STL|L|l|VGG|ResNet|PGD|FGSM)-(?=\w)")
LITERAL = (nodes.literal, nodes.literal_block, nodes.raw, nodes.math, nodes.math_block)


def keep_together(app: Sphinx, doctree: nodes.document, name: str) -> None:
    for text in list(doctree.findall(nodes.Text)):
        if any(isinstance(above, LITERAL) for above in _above(text)):
            continue
        words = re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", text)
        words = NAMES.sub(rf"\1{HYPHEN}", words)
        if _is_math(text, -1) and words[:1] in ",.;:)?!%":
            words = JOINER + words
        if _is_math(text, 1) and words[-1:] == "(":
            words += JOINER
        if words != text:
            text.parent.replace(text, nodes.Text(words))


def _above(node: nodes.Node) -> list[nodes.Node]:
    found = []
    while (node := node.parent) is not None:
        found.append(node)
    return found


def _is_math(text: nodes.Text, step: int) -> bool:
    """Whether the node before (step -1) or after (step 1) a text is an inline equation."""
    siblings = text.parent.children
    at = siblings.index(text) + step
    return 0 <= at < len(siblings) and isinstance(siblings[at], nodes.math)


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-resolved", keep_together)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
