"""A table keeps its numbers as written, and its cells separate."""

import pytest
from markdown_it import MarkdownIt

from robustbook.figures import MISSING, table

HEADERS = ["network", "accuracy (%)"]
ROWS = [["sigmoid MLP", "97.60"], ["CNN", "0.10"]]


def test_both_forms() -> None:
    """The page and the notebook compare these texts, so they are fixed exactly."""
    shown = table("Accuracy on **MNIST**", "tab-accuracy", HEADERS, ROWS)
    assert shown._repr_mimebundle_(include=None, exclude=None) == {
        "text/markdown": (
            ":::{table} Accuracy on **MNIST**\n"
            ":name: tab-accuracy\n"
            "\n"
            "| network | accuracy (%) |\n"
            "| :-- | --: |\n"
            "| sigmoid MLP | 97.60 |\n"
            "| CNN | 0.10 |\n"
            ":::"
        ),
        "text/plain": (
            "Accuracy on **MNIST**\n"
            "\n"
            "network      accuracy (%)\n"
            "sigmoid MLP         97.60\n"
            "CNN                  0.10"
        ),
    }


def test_a_bar_in_a_cell_stays_in_its_cell() -> None:
    """Otherwise |w| in a formula or in code would make new columns; a real parser reads it back."""
    cells = ["$|w|$", "`a|b`", r"c\|d", ""]
    markdown = table("c", "t", ["1", "2", "3", "4"], [cells], align="lcrl").markdown
    tokens = MarkdownIt("commonmark").enable("table").parse("\n".join(markdown.split("\n")[3:-1]))
    inline = [token.content for token in tokens if token.type == "inline"]
    assert inline == ["1", "2", "3", "4", *cells]


def test_a_dash_is_explained_once() -> None:
    """A caption that explains its dash itself is not changed."""
    for cell in (MISSING, f"98.5 / {MISSING}"):
        made = table("Accuracy.", "tab-x", ["a", "b"], [["1", cell]])
        assert made.markdown.startswith(":::{table} Accuracy. A dash: not measured.")
    own = table("Accuracy. A dash: no vote.", "tab-x", ["a", "b"], [["1", MISSING]])
    assert own.plain.count("dash") == 1
    plain = table("The dashed line.", "tab-x", ["a", "b"], [["1", f"2 (1{MISSING}3)"]])
    assert "A dash" not in plain.plain


def test_a_range_and_a_percentage_stay_on_one_line() -> None:
    """This holds only for the page, where a narrow column would break the line."""
    shown = table("c", "t", ["1 to 2", "b"], [["0.5 (-1 to 2e-3)", "40 % of 9 to few"]])
    assert "| 1~to~2 | b |" in shown.markdown.replace("\N{NO-BREAK SPACE}", "~")
    assert "| 0.5 (-1~to~2e-3) | 40~% of 9 to few |" in shown.markdown.replace("\xa0", "~")
    assert "\xa0" not in shown.plain


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"name": "Tab 1"}, "name must be small letters, digits and hyphens, got 'Tab 1'"),
        ({"rows": [["one"]]}, r"rows must have 2 cells like the headers, got \['one'\]"),
        ({"rows": []}, "a table must have a column and a row, got 2 headers, 0 rows"),
        ({"align": "lx"}, "align must have one of l, c, r for each of 2 columns, got 'lx'"),
        ({"align": "l"}, "align must have one of l, c, r for each of 2 columns, got 'l'"),
        ({"caption": "a\nb"}, r"caption and cells must be of one line, got 'a\\nb'"),
        ({"rows": [["a", "b\n:::"]]}, r"caption and cells must be of one line, got 'b\\n:::'"),
    ],
)
def test_what_would_break_the_page_is_refused(changed: dict[str, object], expected: str) -> None:
    arguments = {"caption": "c", "name": "t", "headers": HEADERS, "rows": ROWS} | changed
    with pytest.raises(ValueError, match=expected):
        table(**arguments)  # type: ignore[arg-type]
