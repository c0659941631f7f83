"""What the landing page and the ledger page include."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robustbook import catalogue, ledger
from robustbook.book import front
from robustbook.chapters.front import FINDINGS, Example
from robustbook.chapters.wording import whole_percent
from robustbook.ledger import Claim

IMAGE = np.zeros((4, 4), np.uint8)
CHANGED = np.array([[0, 51], [0, 0]], np.uint8).repeat(2, 0).repeat(2, 1)


@pytest.fixture(scope="module")
def whole() -> ledger.Ledger:
    return catalogue.whole_ledger()


def test_the_picture_shows_both_images_and_both_answers() -> None:
    html = front.example_html(Example(IMAGE, CHANGED, 3, 8))
    data = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in data]
    assert (shown[0] == IMAGE).all() and (shown[2] == CHANGED).all()
    assert shown[1].max() == 255 and shown[1].min() == 128, "grey where nothing changes"
    assert re.findall(r"of a <b>(\d)</b>|answer: <b>(\d)</b>", html) == [("3", ""), ("", "8")]
    assert "times 2<" in html and "more than 20&nbsp;%" in html
    alts = re.findall(r'alt="([^"]+)"', html)
    assert len(set(alts)) == 3 and all(len(alt.split()) > 4 for alt in alts)


def test_each_written_paper_has_a_card_that_sums_to_its_lines(
    whole: ledger.Ledger, root: Path
) -> None:
    text = front.cards(whole, root)
    for paper in front.written(root):
        card = text.partition(f"{{grid-item-card}} {ledger.TITLES[paper]}\n")[2].partition("::::")[
            0
        ]
        assert whole_percent(FINDINGS[paper]()) in card
        numbers = re.findall(r"(\d+) (?:reproduced|not|inconclusive|other|no printed)", card)
        own = [entry for entry in whole.counted if entry.paper == paper]
        assert sum(map(int, numbers)) == len(own) > 0
        judged = [e for e in own if e.verdict in ledger.VERDICTS[:3]]
        (line,) = re.findall(r"^- Results in the paper's setting: (.*)$", card, re.MULTILINE)
        results = [e for e in judged if e.target.tally != "setting" and e.item != "critique"]
        assert line == ledger.counts(results)  # a copied setting is no result


def test_every_paper_is_written_or_listed_as_missing(whole: ledger.Ledger, root: Path) -> None:
    text = front.unwritten(whole, root)
    assert set(front.written(root)) == set(FINDINGS)
    for paper, title in ledger.TITLES.items():
        unrun = [e for e in whole.counted if (e.paper, e.verdict) == (paper, "not run")]
        line = re.search(rf"^- \*\*{title}\*\*: .*$", text, re.MULTILINE)
        assert bool(unrun) == bool(line)
        if line:
            assert f"{len(unrun)} comparisons" in line[0]
            assert ("no page yet" in line[0]) == (paper not in front.written(root))


def test_each_claim_has_a_line_with_its_page_and_status(whole: ledger.Ledger) -> None:
    verdicts = {entry.id: entry.verdict for entry in whole.entries}
    held = next(id_ for id_, verdict in verdicts.items() if verdict == "reproduced")
    small = next(id_ for id_, verdict in verdicts.items() if verdict == "other setting")
    claims = (
        Claim("saturating", "It holds", "saturating/table1", (held,)),
        Claim("deep_defense", "Elsewhere", "deep_defense/table1", (small,)),
        Claim("survey", "Later", "", ("survey/none",)),
    )
    table = front.claims_table(claims, whole.entries)
    _, _, _, first, _, second, _, third = table.splitlines()
    one, none = "1\N{NO-BREAK SPACE}for", "1\N{NO-BREAK SPACE}not run"
    elsewhere = "1\N{NO-BREAK SPACE}only in another setting"
    assert first == (
        "| [It holds](../notebooks/saturating/table1.ipynb) | "
        f'<span class="verdict-badge survives">survives</span> {one} |'
    )
    assert f"untested</span> {elsewhere} |" in second
    assert third.startswith("| Later | ") and third.endswith(f"untested</span> {none} |")


def test_the_landing_page_explains_the_float32_status_only_if_a_claim_has_it(
    whole: ledger.Ledger,
) -> None:
    targets = ledger.read_targets(catalogue.BOOK / "targets")
    claims = ledger.read_claims(catalogue.BOOK / "claims.csv", targets)
    verdicts = {entry.id: entry.verdict for entry in whole.entries}
    found = {ledger.status(claim, verdicts) for claim in claims}
    page = (catalogue.BOOK / "intro.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^(.+)\n: ", page, re.MULTILINE))
    assert found <= explained and ("only in float32" in found) == ("only in float32" in explained)


def test_the_comparisons_of_each_claim_are_listed(whole: ledger.Ledger) -> None:
    targets = ledger.read_targets(catalogue.BOOK / "targets")
    claims = ledger.read_claims(catalogue.BOOK / "claims.csv", targets)
    text = front.deciding_table(claims, whole.entries)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    assert {len(row) for row in rows} == {4}
    verdicts = {entry.id: entry.verdict for entry in whole.entries}
    listed = [row for row in rows if "?text=" in row[0]]
    ids = [id_ for claim in claims for id_ in claim.targets if id_ in verdicts]
    assert [row[3] for row in listed] == [verdicts[id_] for id_ in ids]
    found = dict(zip(ids, listed, strict=True))
    assert found["saturating/figure-5/relu-saturated/successes"][1:3] == [
        "at most\N{NO-BREAK SPACE}44",
        "90; holds in 0 of 5 runs",
    ]
    pattern = found["saturating/figure-2/relu/extreme-preactivations"]
    assert pattern[1:3] == ["pattern", "holds in 5 of 5 runs"]
    assert found["saturating/table-1/order/relu-saturated-over-adversarial"][1] == "order"
    assert found["saturating/table-1/cnn-saturated/clean-loss"][2] == "−0.05 (−0.20 to 0.09)"


def test_summary_adds_up(whole: ledger.Ledger) -> None:
    """Its sums agree with those of the text and of the list of pages: each comparison counts
    once.
    """
    header, _, *rows = front.summary(whole).splitlines()
    cells = [[int(cell) for cell in row.split("|")[3:-1]] for row in rows]
    assert all(sum(row[:-1]) == row[-1] for row in cells)
    assert [sum(column) for column in zip(*cells[:-1], strict=True)] == cells[-1]
    assert cells[-1][-1] == len(whole.counted)
    assert header.count("|") == len(ledger.VERDICTS) + 4
    words = ledger.counts(whole.entries)
    assert [int(n) for n in re.findall(r"\d+", words)] == [n for n in cells[-1][:-1] if n]


def test_pages_are_listed_with_what_became_of_their_targets(
    whole: ledger.Ledger, root: Path
) -> None:
    """By the items that the page's study judges; a page that begins no item is left out."""
    item = [e for e in whole.counted if (e.paper, e.item) == ("saturating", "table-1")]
    judged = {name: front.judged(root)[name] for name in ("benchmarks", "saturating/table1")}
    *_, chapter, row, rest = front.pages_table(whole, judged).splitlines()
    assert chapter == "| **Saturating networks** | |"
    assert row.startswith("| [](../notebooks/saturating/table1.ipynb) |")
    own = [e for e in whole.counted if f"{e.paper}/{e.item}" in judged["saturating/table1"]]
    assert sum(int(word) for word in row.split() if word.isdigit()) == len(own) >= len(item) > 0
    assert rest.startswith("| numbers without a page |")
    table = front.pages_table(whole, front.judged(root))  # every comparison is in one row
    counts = [int(word) for word in table.replace(",", " ").split() if word.isdigit()]
    assert sum(counts) == len(whole.counted)


def test_pages_and_ledger_link_to_each_other() -> None:
    judged = {"a/one": ("a/x", "a/y"), "a/two": ("a/y",), "a/none": ()}
    assert front.ledger_pages(judged) == {
        "a/x": {"a/one": "One"},
        "a/y": {"a/one": "One", "a/two": "Two"},
    }
    assert json.loads(front.filters(judged)) == {
        "notebooks/a/one": "page=a/one",
        "notebooks/a/two": "page=a/two",
    }
