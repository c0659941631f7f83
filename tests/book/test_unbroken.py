"""Places where no line may break."""

from collections.abc import Callable
from types import ModuleType

import pytest
from docutils import nodes


@pytest.fixture
def unbroken(extension: Callable[[str], ModuleType]) -> ModuleType:
    return extension("unbroken")


def shown(unbroken: ModuleType, *parts: nodes.Node) -> list[str]:
    document = nodes.document(None, None)
    document += nodes.paragraph("", "", *parts)
    unbroken.keep_together(None, document, "page")
    return [node.astext() for node in document[0].children]


def test_numbers_and_names_stay_whole(unbroken: ModuleType) -> None:
    (text,) = shown(unbroken, nodes.Text("90 % on CIFAR-10 by L-BFGS, in % of a well-known set"))
    assert text == "90\u00a0% on CIFAR\u201110 by L\u2011BFGS, in % of a well-known set"


def test_punctuation_stays_beside_an_equation(unbroken: ModuleType) -> None:
    equation = nodes.math("", "T = 20")
    before, _, after = shown(unbroken, nodes.Text("it ("), equation, nodes.Text("), then"))
    assert before == "it (\u2060" and after == "\u2060), then"
    (_, after) = shown(unbroken, nodes.math("", "T"), nodes.Text(" is"))
    assert after == " is"


def test_code_is_left_as_it_is(unbroken: ModuleType) -> None:
    (code,) = shown(unbroken, nodes.literal("", "pip install CIFAR-10 # 5 %"))
    assert code == "pip install CIFAR-10 # 5 %"
