"""Links to the glossary carry the meaning of their term."""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace

from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.parsers.rst import Parser
from docutils.utils import new_document


def test_a_link_to_a_term_has_its_definition_as_title(
    extension: Callable[[str], ModuleType],
) -> None:
    """Links within the glossary and from other pages do; links to other things have none."""
    hover = extension("hover_terms")
    meaning = nodes.paragraph(text="A change of\n  an image.")
    term = nodes.term(text="perturbation", ids=["term-perturbation"])
    definition = nodes.definition("", meaning, nodes.paragraph(text="More."))
    glossary = new_document("glossary", get_default_settings(Parser()))
    glossary += nodes.definition_list("", nodes.definition_list_item("", term, definition))
    app = SimpleNamespace(env=SimpleNamespace(get_doctree=lambda name: glossary))
    page = new_document("page", get_default_settings(Parser()))
    away = nodes.reference(refuri="../book/glossary.html#term-perturbation")
    here = nodes.reference(refid="term-perturbation")
    other = nodes.reference(refuri="../book/glossary.html#elsewhere")
    page += nodes.paragraph("", "", away, here, other)
    hover.give_titles(app, page, "page")
    assert away["reftitle"] == here["reftitle"] == "A change of an image."
    assert "reftitle" not in other
