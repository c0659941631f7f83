"""The pages of the package."""

import re
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


def test_constants_show_their_values_and_come_last() -> None:
    page = book.api_pages()["ledger"]
    assert 'PROFILES = ("paper", "reduced", "quick")' in page and ": tuple\n" not in page
    figures = book.api_pages()["figures"]
    assert "    ...\n}" in figures, "a long value is cut"
    heads = re.findall(r"^## (\w+)", page, re.MULTILINE)
    last = [head for head in heads if head.isupper()]
    assert heads[-len(last) :] == last == ["PAPERS", "PROFILES", *sorted(last[2:])]


def test_classes_show_fields_and_constructor_without_internals() -> None:
    pages = book.api_pages()
    text = "\n".join(pages.values())
    assert "__pydantic" not in text and "= later(" not in text
    assert 'precision: Precision = "float32"' in pages["training"]
    assert "class MLP(nn.Module):\n" in pages["networks"]
    assert "    def __init__(self, sizes: tuple[int, ...], activation" in pages["networks"]


def test_names_are_links_to_their_sections() -> None:
    pages = book.api_pages()
    text = "\n".join(pages.values())
    labels = re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE)
    assert len(labels) == len(set(labels)), "or a link has two aims"
    linked = set(re.findall(r"\{ref\}`\w+ <([\w-]+)>`", text))
    assert linked <= set(labels) and "api-attacks-function-fgsm" in linked
    assert "api-ledger-function-judge" not in re.findall(r"<([\w-]+)>", pages["attacks"])
    fgsm = pages["attacks"].partition("\n## fgsm\n")[2].partition("\n## ")[0]
    assert "api-attacks-function-fgsm>" not in fgsm, "no link from a section to itself"


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
