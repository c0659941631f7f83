"""Make the table of a page's verdicts, and the list of reasons for them."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from IPython.display import Markdown

from robustbook import ledger
from robustbook.chapters.published import compared
from robustbook.figures import Table, table
from robustbook.ledger import Entry

HEADS = ("Quantity", "Verdict", "Source", "Ours", "Interval", "Tolerance", "Seeds")
"""The columns of a table of verdicts. A phone shows only the first ones at once."""


def verdicts_of(item: str) -> Table | Markdown:
    """Return a table of the paper's numbers on the page of ``item`` that we measured, beside ours;
    if there are none, return a sentence that says so.
    """
    lines = compared(item)
    shown = [entry for entry in lines if entry.verdict != "not run"]
    if not shown:
        return Markdown(
            f"None of the {len(lines)} target numbers of this page was measured in the paper's "
            "setting. The [ledger](../../book/ledger.md) lists them."
        )
    rows = [_row(entry) for entry in shown]
    kept = [k for k in range(len(HEADS)) if any(row[k] for row in rows)]
    return table(
        _caption(shown, len(lines) - len(shown)),
        f"tab-{item}-ledger".replace("/", "-").replace("_", "-"),
        [HEADS[k] for k in kept],
        [[row[k] for k in kept] for row in rows],
        align="".join("llrrrrr"[k] for k in kept),
    )


def reasons_of(item: str, lead: str = "Comparisons in the paper's setting") -> str:
    """Return our explanation for each of the paper's numbers on the page of ``item`` that was not
    reproduced, and why other verdicts are inconclusive. If all were reproduced, the first sentence
    counts them and begins with ``lead``.
    """
    lines = compared(item)
    verdicts = [entry.verdict for entry in lines]
    if {*verdicts} == {"no printed number"}:
        return "The source has no number that we could compare, so there is no judgement."
    if not set(ledger.VERDICTS[:3]) & set(verdicts):
        return (
            "None of these numbers has the verdict *reproduced* or *not reproduced*, because "
            "such a verdict needs a run in the paper's setting."
        )
    failed = _listed(lines, "not reproduced", lambda entry: entry.reason)
    unsure = _listed(lines, "inconclusive", _unsure)
    other = verdicts.count("other setting")
    head = (
        "These target numbers were not reproduced. For each we give the reason, as far as we know "
        "it:"
    )
    if not failed:
        agree = verdicts.count("reproduced")
        head = f"{lead}: {agree} *reproduced*, none *not reproduced*."
        if other:
            head += (
                f" {other} more have the verdict *other setting*, because our experiment differs "
                "from the paper's."
            )
    told = [head, "", *failed]
    if unsure:
        told += ["", "These comparisons are inconclusive:", "", *unsure]
    return "\n".join(told).strip()


def _listed(lines: Sequence[Entry], verdict: str, why: Callable[[Entry], str]) -> list[str]:
    """Return a markdown list of the numbers with this verdict, in which numbers with the same
    explanation ``why`` stand together. If they are many, the explanation stands before them.
    """
    names: dict[str, list[str]] = {}
    for entry in lines:
        if entry.verdict == verdict:
            names.setdefault(why(entry), []).append(f"**{ledger.quantity(entry.target)}**")
    told = []
    for reason, each in names.items():
        why_, which = f"{reason[:1].upper()}{reason[1:]}.", "; ".join(each)
        told.append(f"- {why_} This is about {which}." if len(each) > 3 else f"- {which}: {why_}")
    return told


def _row(entry: Entry) -> list[str]:
    """Return the row of a paper's number in the table of verdicts."""
    ours, interval = ledger.outcome(entry)
    return [
        ledger.quantity(entry.target),
        entry.verdict,
        ledger.stated(entry) + (" (derived)" if entry.target.kind == "derived" else ""),
        ours.removesuffix(" in our only run"),  # the column of seeds says so
        interval,
        "" if entry.tolerance is None else f"{entry.tolerance:g}",
        str(entry.judgement.seeds or ""),
    ]


def _caption(shown: Sequence[Entry], rest: int) -> str:
    """Return the caption of a table of verdicts, which explains only what the table contains.

    ``rest``: how many numbers of the page were not measured.
    """
    orders = any(entry.judgement.difference is not None for entry in shown)
    told = any(ledger.stated(entry) for entry in shown)
    lead = "What the source states and what we measured." if told else "What we measured."
    sentences = [lead]
    if orders:
        sentences.append(
            "*Order*: the claim is which of two numbers is larger; *difference*: the first number "
            "minus the second, in our runs."
        )
    if any(entry.judgement.held and entry.target.printed is None for entry in shown):
        sentences.append("*Pattern*: the claim stands in the first column.")
    if any(ledger.outcome(entry)[1] for entry in shown):
        order = "; for an order, the 95 % confidence interval of the difference" if orders else ""
        sentences.append(f"*Interval*: the 95 % prediction interval for one more run{order}.")
    sentences.append(
        "The page [Verdicts](../basics/verdicts.ipynb) explains how the numbers lead to a verdict."
    )
    if any(entry.target.kind == "derived" for entry in shown):
        sentences.append(
            "*Derived* numbers follow from numbers, formulas, data or code of the source."
        )
    if rest:
        more = "number, which was" if rest == 1 else "numbers, which were"
        sentences.append(f"The ledger lists {rest} more target {more} not measured.")
    return " ".join(sentences)


def _unsure(entry: Entry) -> str:
    """Return why the verdict on a number of the paper is inconclusive, followed by our explanation
    if there is one.
    """
    return replace(entry, note=entry.judgement.unsure).explanation
