"""Generate parts of the landing page and of the ledger page, such as a card for each paper and
counts of verdicts.
"""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from robustbook import catalogue, ledger, notebooks
from robustbook.chapters import front
from robustbook.chapters.wording import badge, page_name, whole_percent
from robustbook.figures import addition
from robustbook.ledger import Claim, Entry, Ledger

SUBJECTS = {
    "saturating": "Nayebi and Ganguli, 2017 {cite}`nayebi2017`: a penalty pushes units into the "
    "flat parts of their nonlinearities.",
    "deep_defense": "Yan, Guo and Zhang, 2018 {cite}`yan2018`: training increases the "
    "size of the perturbations that the attack DeepFool needs.",
    "self_ensemble": "Liu and others, 2018 {cite}`liu2018`: noise is added in front of every "
    "convolution, and the predictions are averaged over draws of the noise.",
    "survey": "A survey of adversarial training and related defenses.",
}
"""For each paper, a sentence that says what the paper proposes."""


def example_html(example: front.Example) -> str:
    """Return the landing page's picture of an attack: an image and its label, a perturbation, and
    the adversarial image with the predicted class.

    The picture is made of HTML, so that its words have the colours of the theme and the size of the
    page's text.
    """
    a, b = example.label, example.answer
    change = f"No pixel changes by more than {100 * example.size:.0f}&nbsp;% of its range"
    parts = (
        (example.image, f"A handwritten {a}, white on black.", f"Image<br>of a <b>{a}</b>"),
        (
            example.perturbation,
            "Faint speckles around the digit, black and white on grey, without any shape.",
            f"Perturbation,<br>times {1 / (2 * example.size):.0f}",
        ),
        (
            example.adversarial,
            f"The same handwritten {a}, with a barely visible pattern in the black.",
            f"Adversarial<br>answer: <b>{b}</b>",
        ),
    )
    return (
        f"{addition(*parts)}"
        f'<p class="example-words">The left image shows the digit {a}. A network without any '
        f"defense predicts the digit {b} for the right image. {change}."
        "</p>\n"
    )


def cards(whole: Ledger, root: Path) -> str:
    """Return a card for each paper that has a chapter. It says what the paper proposes and what we
    found, and counts the verdicts.
    """
    blocks = []
    for paper in written(root):
        blocks += [
            f"::::{{grid-item-card}} {ledger.TITLES[paper]}",
            SUBJECTS[paper],
            "",
            f"**Found.** {whole_percent(front.FINDINGS[paper]())}",
            "",
            f"[Read the chapter](../notebooks/{paper}/overview.ipynb)",
            "",
            ":::{card-footer}",
            *_counts([entry for entry in whole.entries if entry.paper == paper]),
            ":::",
            "::::",
            "",
        ]
    return "\n".join([":::::{grid} 1 1 2 2", ":gutter: 3", "", *blocks, ":::::", ""])


OWN_TESTS = "critique"
"""The item whose comparisons test our own predictions and criteria, and no statement of a paper."""


def _counts(entries: Sequence[Entry]) -> list[str]:
    """Return as a list how many comparisons have each verdict: results that were run in the paper's
    setting, our own tests, all other results, and settings. A prediction or criterion of ours that
    holds is evidence against the paper, so it does not count as a result of the paper.
    """
    settings = [entry for entry in entries if entry.target.tally == "setting"]
    judged = [e for e in entries if e.verdict in ledger.VERDICTS[:3] and e not in settings]
    ours = [entry for entry in judged if entry.item == OWN_TESTS]
    groups = {
        "Results in the paper's setting": [e for e in judged if e not in ours],
        "Our own predictions, and criteria that we added after the runs (if *reproduced*, they "
        "speak against the paper)": ours,
        "Other results": [e for e in entries if e not in judged and e not in settings],
        "Settings": settings,
    }
    return [f"- {words}: {ledger.counts(own)}" for words, own in groups.items() if own]


def claims_table(claims: tuple[Claim, ...], entries: tuple[Entry, ...]) -> str:
    """Return a markdown table of the papers' claims. A row has the claim, which links to the page
    that tests it, its status, such as "survives", and how many of the comparisons that decide the
    status speak for it and against it (see `ledger.sides`).
    """
    found = {entry.id: entry for entry in entries}
    verdicts = {id_: entry.verdict for id_, entry in found.items()}
    lines = ["| Claim | Status |", "| :-- | :-- |"]
    paper = ""
    for claim in claims:
        if claim.paper != paper:
            paper = claim.paper
            lines.append(f"| **{ledger.TITLES[paper]}** | |")
        linked = f"[{claim.words}](../notebooks/{claim.page}.ipynb)" if claim.page else claim.words
        status = ledger.status(claim, verdicts)
        counts = ledger.sides(claim, verdicts)
        told = [f"{n}\N{NO-BREAK SPACE}{side}" for side, n in counts.items() if n]
        lines.append(f"| {linked} | {badge(status)} {', '.join(told)} |")
    return "\n".join([*lines, ""])


def deciding_table(claims: tuple[Claim, ...], entries: tuple[Entry, ...]) -> str:
    """Return a markdown table of the papers' claims, each followed by the comparisons that decide
    it, which link to the ledger.
    """
    found = {entry.id: entry for entry in entries}
    lines = ["| Comparison | Paper | Ours | Verdict |", "| :-- | :-- | :-- | :-- |"]
    for claim in claims:
        lines.append(f"| **{claim.words}** | | | |")
        for id_ in claim.targets:
            if id_ in found:
                entry = found[id_]
                link = f'<a href="ledger.html?text={id_}">{escape(entry.target.name)}</a>'
                cells = (ledger.stated(entry), _ours(entry))
                lines.append(f"| {link} | {' | '.join(cells)} | {entry.verdict} |")
    return "\n".join([*lines, ""])


def _ours(entry: Entry) -> str:
    """Return our result as text, followed by its interval in parentheses."""
    if entry.verdict == "not run":
        return ""
    result, interval = ledger.outcome(entry)
    return f"{result} ({interval})" if interval else result


def unwritten(whole: Ledger, root: Path) -> str:
    """Return a markdown list of the papers of which we have not yet compared all numbers, with how
    many comparisons were not run.
    """
    lines = []
    for paper, title in ledger.TITLES.items():
        missing = [e for e in whole.counted if e.paper == paper and e.verdict == "not run"]
        if not missing:
            continue
        link = f'<a href="ledger.html?paper={paper}&amp;verdict=not+run">in the ledger</a>'
        if paper not in written(root):
            text = f"no page yet. {SUBJECTS[paper]} {len(missing)} comparisons are listed {link}."
        else:
            waiting = sum(bool(e.command) for e in missing)
            text = (
                f"{len(missing)} comparisons ({link}), {waiting} of them with the command that "
                "runs them."
            )
        lines.append(f"- **{title}**: {text}")
    return "\n".join([*lines, ""])


def written(root: Path) -> list[str]:
    """Return the papers that have an overview page in the book's table of contents."""
    names = notebooks.contents(root)
    return [paper for paper in ledger.TITLES if f"{paper}/overview" in names]


def judged(root: Path) -> dict[str, tuple[str, ...]]:
    """Return for each notebook the names ``paper/name`` of the tables and figures whose numbers it
    compares with ours.
    """
    found: dict[str, tuple[str, ...]] = {}
    there = notebooks.names(root)
    for name in notebooks.contents(root):
        if name not in there:
            continue
        cells = notebooks.stored(name, ".ipynb", root).cells
        begun = re.search(r'page\.begin\("([^"]+)"', "".join(cell.source for cell in cells))
        found[name] = catalogue.judged(begun[1]) if begun else ()
    return found


def summary(whole: Ledger) -> str:
    """Return a markdown table of counts of verdicts, with one row for each paper and kind of
    comparison, and one column for each verdict and for their sum.
    """
    lines = [
        f"| | what is compared | {' | '.join(ledger.VERDICTS)} | sum |",
        "| :-- | :-- |" + " --: |" * (len(ledger.VERDICTS) + 1),
    ]
    for paper, title in ledger.TITLES.items():
        for kind, own in ledger.tallies(e for e in whole.entries if e.paper == paper).items():
            lines.append(f"| {title} | {kind} | {_numbers(own)} |")
            title = ""
    return "\n".join([*lines, f"| **all** | | {_numbers(whole.counted)} |", ""])


def _numbers(entries: tuple[Entry, ...]) -> str:
    """Return as table cells how often each verdict occurs, and the sum."""
    found = [entry.verdict for entry in entries]
    return " | ".join(str(n) for n in [*map(found.count, ledger.VERDICTS), len(found)])


def pages_table(whole: Ledger, judged: Mapping[str, tuple[str, ...]]) -> str:
    """Return a markdown table with one row for each page: a link to it, and how often it gives each
    verdict. The last row counts the numbers that no page compares. ``judged`` is the result of the
    function `judged`.
    """
    lines = ["| page | verdicts |", "| --- | --- |"]
    chapter = ""
    for name, items in judged.items():
        found = [e for e in whole.entries if f"{e.paper}/{e.item}" in items]
        counts = ledger.counts(found)
        if not counts:
            continue
        if found[0].paper != chapter:
            chapter = found[0].paper
            lines.append(f"| **{ledger.TITLES[chapter]}** | |")
        lines.append(f"| {link(name)} | {counts} |")
    paged = {item for items in judged.values() for item in items}
    rest = ledger.counts(e for e in whole.entries if f"{e.paper}/{e.item}" not in paged)
    if rest:
        lines.append(f"| numbers without a page | {rest} |")
    return "\n".join([*lines, ""])


def link(name: str) -> str:
    """Return a markdown link to a notebook's page, for use on a page in ``book/``."""
    return f"[](../notebooks/{name}.ipynb)"


def ledger_pages(judged: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, str]]:
    """Return for each table or figure the pages that compare its numbers with ours: the names of
    their notebooks, such as "saturating/table1", with the pages' short names.
    """
    pages: dict[str, dict[str, str]] = {}
    for name, items in judged.items():
        for item in items:
            pages.setdefault(item, {})[name] = page_name(name.rpartition("/")[2])
    return pages


def filters(judged: Mapping[str, tuple[str, ...]]) -> str:
    """Return for each page, as JSON, the query string with which the ledger page shows only its
    numbers.
    """
    return json.dumps(
        {f"notebooks/{name}": f"page={name}" for name, items in judged.items() if items}
    )
