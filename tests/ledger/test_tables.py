import random
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from robustbook.ledger import (
    TALLIES,
    Record,
    Row,
    build,
    page_html,
    quantity,
    read_targets,
    text_table,
    write_record,
)
from robustbook.studies import items


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """Return the committed targets with made-up records of every size of number and every
    verdict.
    """
    from .conftest import BOOK

    book = tmp_path_factory.mktemp("book")
    shutil.copytree(BOOK / "targets", book / "targets")
    draw = random.Random(3)
    for item, profile, n in [
        ("table-1", "paper", 5),
        ("table-2", "quick", 1),
        ("text-8", "paper", 3),
    ]:
        rows = []
        for target in read_targets(BOOK / "targets").values():
            if (target.paper, target.item) == ("saturating", item):
                centre = draw.choice([-1234.5678, -0.00012345678, 97.654321])
                for seed in range(n):
                    value = centre * draw.uniform(0.99, 1.01)
                    rows.append(Row(value, target.unit, target=target.id, seed=seed, holds=True))
        record = Record("saturating", item, profile, {}, tuple(range(n)), tuple(rows))
        write_record(record, book / "records")
    some = next(iter(read_targets(book / "targets")))
    (book / "reasons.csv").write_text(f'ids,reason\n{some},"a < b & ""c"" {"long " * 40}"\n')
    return build(book, command=items.command)


class Page(HTMLParser):
    """Count tags, check their nesting, and collect attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("input", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_text_fits_a_terminal_and_counts_every_target_once(ledger):
    text = text_table(ledger)
    assert max(map(len, text.splitlines())) <= 100
    total, repeated = map(int, re.search(r"(\d+) target numbers; (\d+) of them", text).groups())
    assert (total, repeated) == (
        len(ledger.entries),
        len(ledger.entries) - len(ledger.counted),
    )
    lines = dict(re.findall(r"^  ([a-z ]+): (\d+ \(.*\))$", text, re.MULTILINE))
    assert set(lines) == set(TALLIES)
    for line in lines.values():
        own, *parts = map(int, re.findall(r"\d+", line))
        assert own == sum(parts)
    assert sum(int(line.split()[0]) for line in lines.values()) == total - repeated
    assert len(re.findall(r"profile verdict$", text, re.MULTILINE)) == len(
        {(entry.paper, entry.item) for entry in ledger.entries}
    )


def test_text_lists_context_apart_and_what_would_run(ledger):
    counted, quoted = text_table(ledger).split("Quoted for context")
    assert quoted.count("survey/") == 213
    assert "to run: robustbook run saturating/figure-5 --profile paper" in counted
    # The needs of a run are printed once below the lines of an item, not below each line.
    assert counted.count("needs a GPU, and ImageNet's photographs") == 3
    silent = {e.note.rpartition("; ")[2] for e in ledger.entries if not e.command}
    assert "CaffeNet is not in the book" in silent
    assert all(reason in " ".join(counted.split()) for reason in silent)


def test_page_is_well_formed_and_whole(ledger):
    page = Page(page_html(ledger))
    assert page.tags.count("tr") == len(ledger.entries) + 1
    assert page.tags.count("li") == len(ledger.context)
    assert {value for name, value in page.attributes if name == "data-verdict"} == {
        entry.verdict for entry in ledger.entries
    }
    assert "&lt; b &amp; &quot;c&quot;" in page_html(ledger)
    assert set(ledger.entries[0].explanation.split()) <= set(" ".join(page.words).split())


def test_every_number_has_a_short_name_of_its_own(book):
    """Rows of a table of verdicts must differ, and fit into a column."""
    targets = read_targets(book / "targets").values()
    assert len({(target.paper, target.name) for target in targets}) == len(targets)
    for target in targets:
        assert 3 <= len(target.name) <= 100 and not set(target.name) & set("_|*<>\n"), target.id
        assert target.name.strip(" .") == target.name and "  " not in target.name, target.id


def test_only_a_number_in_per_cent_gets_a_unit(target):
    """The name of an ordering or a pattern is a whole statement."""
    number = target(compare="equal", unit="percent", printed=98.0, as_printed="98.0")
    assert quantity(number) == "CNN: accuracy (%)"
    assert quantity(replace(number, name="CNN (MNIST)")) == "CNN (MNIST), in %"
    assert quantity(target(compare="greater_than", partner="b", unit="percent")) == number.name
    assert quantity(target(compare="shape", unit="percent")) == number.name
    assert quantity(target(compare="equal", unit="l2", printed=1.0)) == number.name


def test_printed_numbers_keep_their_zeros(book):
    targets = read_targets(book / "targets")
    shown = targets["survey/madry-table-1/black-box/copy-pgd-40-accuracy"]
    assert (shown.printed, shown.as_printed) == (96.0, "96.0")
    for target in targets.values():
        text = target.as_printed.replace(",", "")
        assert (float(text) if text else None) == target.printed


def test_page_shows_the_tolerance_of_each_printed_number(ledger):
    allowed = [e for e in ledger.entries if e.target.printed is not None and e.tolerance]
    assert allowed
    assert page_html(ledger).count("<small>± ") == len(allowed)
    assert all(e.tolerance is None for e in ledger.entries if e.target.printed is None)


def test_page_loads_nothing(ledger):
    """The book is read from a disk, without a server or a network."""
    names = {name for name, _ in Page(page_html(ledger)).attributes}
    assert not names & {"src", "href", "action", "onclick", "oninput"}


def test_every_filter_has_a_label_and_every_option_a_row(ledger):
    text = page_html(ledger)
    assert text.count("<label>") == len(re.findall("<select|<input", text)) == 6
    for name in ("paper", "item", "kind", "verdict"):
        options = re.search(rf'<select name="{name}">(.*?)</select>', text)
        values = set(re.findall(r'value="([^"]+)"', options.group(1)))
        shown = set(re.findall(rf'<tr [^>]*data-{name}="([^"]+)"', text))
        assert shown <= values
        assert name in ("kind", "verdict") or shown == values


def test_rows_link_to_the_pages_that_judge_them(ledger):
    """Each such page is also an option of the filter, so that a page can link to its rows."""
    pages = {"saturating/table-1": {"saturating/table1": "Table 1", "saturating/today": "Today"}}
    text = page_html(ledger, pages)
    own = [e for e in ledger.entries if (e.paper, e.item) == ("saturating", "table-1")]
    assert text.count('href="../notebooks/saturating/table1.html"') == len(own) > 0
    assert text.count('data-page="saturating/table1 saturating/today"') == len(own)
    assert text.count('data-page=""') == len(ledger.entries) - len(own)
    assert '<option value="saturating/table1">Saturating networks: Table 1</option>' in text
