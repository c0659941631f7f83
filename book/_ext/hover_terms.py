"""A link to a term of the glossary shows the term's meaning when the mouse rests on it.

Sphinx links a term without a title. Here the title is the first paragraph of the definition.
"""

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

GLOSSARY = "book/glossary"


def give_titles(app: Sphinx, doctree: nodes.document, name: str) -> None:
    meanings = _meanings(app)
    for link in doctree.findall(nodes.reference):
        _, _, term = link.get("refuri", "").partition("#")
        term = term or link.get("refid", "")
        if term in meanings:
            link["reftitle"] = meanings[term]


def _meanings(app: Sphinx) -> dict[str, str]:
    """The meaning of each term, by the anchor of the term."""
    found: dict[str, str] = {}
    for item in app.env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
        paragraph = next(iter(item.findall(nodes.paragraph)), None)
        if paragraph is not None:
            text = " ".join(paragraph.astext().split())
            found |= {name: text for term in item.findall(nodes.term) for name in term["ids"]}
    return found


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("doctree-resolved", give_titles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
