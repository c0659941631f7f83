"""The answer at the top of a page is short, and the verdicts beside it are those of the page."""

import re
from dataclasses import replace

import pytest

from robustbook import catalogue, notebooks
from robustbook.chapters import badges, published
from robustbook.chapters.published import entries
from robustbook.chapters.wording import badge

from .reading import numbers

PAGES = [
    name
    for name in notebooks.names()
    if name.startswith(("basics/", "saturating/", "deep_defense/", "survey/"))
]


def made(name: str, verdict: str, same_as: str = "") -> object:
    """Return a line of the ledger with this id and verdict."""
    (line, *_) = entries("saturating", "table-1")
    return replace(
        line,
        target=replace(line.target, id=f"saturating/table-1/{name}"),
        judgement=replace(line.judgement, verdict=verdict),
        same_as=same_as,
    )


def test_each_kind_is_counted_by_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A repeated comparison counts once, unless the other one stands on another page."""
    lines = [
        made("a/error", "reproduced"),
        made("b/error", "not reproduced"),
        made("a/order", "inconclusive"),
        made("b/order", "inconclusive", "saturating/table-1/a/order"),
        made("c/order", "inconclusive", "saturating/figure-1/order"),
        made("a/setting", "not run"),
        made("only", "no printed number"),
    ]
    monkeypatch.setattr(published, "entries", lambda paper: lines)
    kinds = {"errors": "error", "absent": "none", "": "setting", "orders": "order", "rest": ""}
    assert badges.of_page("saturating/table-1", kinds) == (
        f"*Errors*: 1 {badge('reproduced')}, 1 {badge('not reproduced')}; "
        f"*orders*: 2 {badge('inconclusive')}; *rest*: {badge('no printed number')}"
    )
    del kinds["rest"]
    with pytest.raises(ValueError, match="contains saturating/table-1/only"):
        badges.of_page("saturating/table-1", kinds)


def test_each_page_of_a_paper_is_known() -> None:
    """Else the badges would be empty."""
    assert catalogue.judged("saturating/table-1") == ("saturating/table-1",)
    assert badges.of_page("deep_defense/deepfool", {"": ""}) == ""


@pytest.mark.parametrize("name", PAGES)
def test_the_answer_is_one_short_sentence(name: str) -> None:
    """At most thirty words with two numbers; with the verdicts beside it at most sixty words. A
    printed number in brackets may stand beside ours.
    """
    (text,) = (text for text in shown(name) if text.startswith("**Answer.**"))
    text = re.sub(r"<[^>]*>", "", text.removeprefix("**Answer.** "))
    sentence = re.split(r" (?:Table 1: )?\*[A-Z]", text)[0]
    assert words(text) <= 60 and words(sentence) <= 30, text
    assert sentence.endswith(".") and not re.search(r"\.\s+[A-Z]", sentence), text
    # The one names the classes 3 and 7 too, the other compares two defenses.
    limit = 4 if name in ("saturating/claims", "survey/overview") else 2
    ours = re.sub(r"\([\d.]+( and [\d.]+)?\s% in the paper[^)]*\)", "", sentence)
    assert len(numbers(ours)) <= limit, text


def words(text: str) -> int:
    return sum(word != "%" for word in text.split())


def shown(name: str) -> list[str]:
    """Return the texts of a page as its reader sees them: its prose and what its cells show."""
    texts = []
    for cell in notebooks.stored(name, ".ipynb").cells:
        if cell.cell_type == "markdown":
            texts += cell.source.split("\n\n")
        for output in cell.get("outputs", []):
            texts.append("".join(output.get("data", {}).get("text/markdown", "")))
    return texts


@pytest.mark.parametrize("name", PAGES)
def test_tables_among_the_details_are_closed(name: str) -> None:
    """The tables of cells and of prose, and every verdict table of twenty or more rows."""
    details = False
    for cell in notebooks.stored(name, ".ipynb").cells:
        details = details or "\n## Details\n" in f"\n{cell.source}\n"
        if cell.cell_type == "markdown":
            prose = re.sub(r":::\{dropdown\}.*?\n:::$", "", cell.source, flags=re.DOTALL | re.M)
            assert not details or not re.search(r"^\| ", prose, re.M), cell.source
        for output in cell.get("outputs", []):
            rows = "".join(output.get("data", {}).get("text/markdown", "")).count("\n| ") - 2
            long = rows >= 20 and cell.source == "here.verdicts()"
            if rows > 0 and (details or long):
                assert "hide-output" in cell.metadata["tags"], cell.source
