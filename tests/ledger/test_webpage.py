"""The ledger as a web page."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from robustbook import catalogue, ledger
from robustbook.ledger.numerals import measured


@pytest.mark.parametrize(
    ("value", "tolerance", "expected"),
    [
        (97.872, 0.6, "97.87"),
        (96.73, 3.0, "96.7"),
        (0.012345, 0.001, "0.0123"),
        (-0.33, 1.0, "\N{MINUS SIGN}0.3"),
        (44.0, None, "44"),
        (0.123456, None, "0.123"),
        (123456.0, 10.0, "123,456"),
        (0.0, 0.5, "0.00"),
        (0.0, 1e-6, "0.000"),
        (2e-7, 1e-6, "0.0000002"),
        (50.5, 15.0, "50.5"),
        (90.0, 15.0, "90"),
        (89.45, 2.0, "89.5"),
        (3012.4, None, "3,012"),
        (86.35, 2.0, "86.4"),  # in binary a little below 86.35
    ],
)
def test_a_number_has_one_decimal_more_than_its_tolerance(
    value: float, tolerance: float | None, expected: str
) -> None:
    assert measured(value, tolerance) == expected


@pytest.mark.parametrize(
    ("compare", "stated", "row"),
    [
        ("equal", "9.50", "<td>9.50 %<"),
        ("at_most", "at most\N{NO-BREAK SPACE}9.50", "<td>at most\N{NO-BREAK SPACE}9.50 %<"),
        ("at_least", "at least\N{NO-BREAK SPACE}9.50", "<td>at least\N{NO-BREAK SPACE}9.50 %<"),
        ("less_than", "order", "<td></td>"),
        ("shape", "pattern", "<td></td>"),
    ],
)
def test_a_row_says_what_the_paper_states(
    target: Callable[..., ledger.Target], compare: str, stated: str, row: str
) -> None:
    printed = {} if compare in ("less_than", "shape") else {"printed": 9.5, "as_printed": "9.50"}
    asked = target(compare=compare, **printed)
    entry = ledger.Entry(asked, ledger.judge(asked, None), None, "", "", "", "")
    assert ledger.stated(entry) == stated
    assert row in ledger.page_html(ledger.Ledger((entry,), ()))


def test_a_row_begins_with_words_and_ends_with_a_sentence() -> None:
    entry = next(
        each
        for each in catalogue.whole_ledger().entries
        if each.id == "saturating/table-1/sigmoid-adversarial/accuracy"
    )
    html = ledger.page_html(
        ledger.Ledger((replace(entry, note="", reason="too high; we tried"),), ())
    )
    assert "The table has 1 targets. The counts below count 1 of them; the other 0 repeat" in html
    cells = re.findall(r"<td>(.*?)</td>", html)
    assert cells[0].startswith(f"{entry.target.name}<small>")
    assert cells[0].endswith(f"<small><code>{entry.id}</code></small>")
    assert cells[3].endswith("<small>Too high; we tried.</small>")
    assert entry.judgement.low is not None and f"[{entry.judgement.low:.1f}, " in cells[2]
