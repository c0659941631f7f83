"""The pages of the package."""

from types import ModuleType

import pytest

from robustbook import book
from robustbook.book.api import api_list, sentence, short


def test_each_module_has_a_page_with_its_public_names() -> None:
    pages = book.api_pages()
    assert set(pages) == {short(module) for module in book.parts()} >= {"attacks", "training"}
    for module in book.parts():
        text = pages[short(module)]
        assert text.startswith(f"# {module.__name__}\n")
        for name in module.__all__:
            assert f"## {name}\n" in text
            assert f"```{{index}} {name} ({module.__name__})\n" in text, "or the index lacks it"
    assert "def read_claims(path: Path, targets" in pages["ledger"], "as in the source"
    assert "\n- `forwards`: the number of images" in pages["attacks"], (
        "what a docstring names is a list"
    )


def test_the_list_says_a_sentence_of_each_module() -> None:
    rows = api_list().splitlines()[2:]
    assert len(rows) == len(book.parts())
    for row, module in zip(rows, book.parts(), strict=True):
        assert row.startswith(f"| [](api/{short(module)}.md) | {sentence(module)[:20]}")


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("One thing. Another.", "One thing."),
        ("Over two\nlines: it goes on.\n\nMore.", "Over two lines: it goes on."),
        ("In [0, 1], e.g. here. Then", "In [0, 1], e.g. here."),
    ],
)
def test_the_first_sentence_is_cut_at_its_end(docstring: str, expected: str) -> None:
    module = ModuleType("robustbook.made")
    module.__doc__ = docstring
    assert sentence(module) == expected
