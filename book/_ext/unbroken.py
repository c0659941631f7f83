"""Where a line must not break: before a percent sign, after a hyphen in a name, at the punctuation
beside an equation.

A browser breaks lines at blanks, at hyphens, and on both sides of an inline equation.
"""

import re
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

JOINER = "\N{WORD JOINER}"
HYPHEN = "\N{NON-BREAKING HYPHEN}"
NAMES = re.compile(r"\b(CIFAR|STL|L|l|VGG|ResNet|PGD|FGSM)-(?=\w)")
LITERAL = (nodes.literal, nodes.literal_block, nodes.raw, nodes.math, nodes.math_block)


def keep_together(app: Sphinx, doctree: nodes.document, name: str) -> None:
    for parent in list(doctree.findall(nodes.Element)):
        if any(isinstance(node, LITERAL) for node in _from(parent)):
            continue
        parts = parent.children
        for i, text in enumerate(parts):
            if isinstance(text, nodes.Text):
                before, after = (parts[i - 1] if i else None), [*parts, None][i + 1]
                parent[i] = nodes.Text(_joined(text, before, after))


def _joined(text: str, before: nodes.Node | None, after: nodes.Node | None) -> str:
    words = re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", text)
    words = NAMES.sub(rf"\1{HYPHEN}", words)
    if isinstance(before, nodes.math) and words[:1] in set(",.;:)?!%"):
        words = JOINER + words
    if isinstance(after, nodes.math) and words[-1:] == "(":
        words += JOINER
    return words


def _from(node: nodes.Node | None) -> Iterator[nodes.Node]:
    """Yield a node and all nodes that contain it."""
    while node is not None:
        yield node
        node = node.parent


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-resolved", keep_together)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
