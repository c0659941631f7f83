"""Show the ledger as one HTML table with filters, for a page of the book.

The table needs only the files `book/_static/ledger.js` and `ledger.css`, but no server and no
internet connection. Without JavaScript the whole table is shown.
"""

from collections.abc import Iterable, Mapping
from html import escape

from robustbook.counting import number_of

from .build import Entry, Ledger
from .tables import TITLES
from .targets import TALLIES
from .verdicts import VERDICTS
from .words import interval, ours, stated

HEADS = ("target number", "printed", "ours", "verdict and reason")


Pages = Mapping[str, Mapping[str, str]]
"""For each table or figure (``paper/name``), the pages that compare its numbers with ours
(``folder/name``), with their titles.
"""


def page_html(ledger: Ledger, pages: Pages | None = None) -> str:
    """Return the filters, the table of all ledger lines, and the list of numbers quoted for
    context. Each row of the table links to the ``pages`` that compare its number with ours.
    """
    pages = pages or {}
    entries = ledger.entries
    papers = [paper for paper in TITLES if any(entry.paper == paper for entry in entries)]
    items = dict.fromkeys(entry.item for entry in entries)
    rows = "\n".join(_row(e, pages.get(f"{e.paper}/{e.item}", {})) for e in entries)
    names = {
        page: f"{TITLES[page.partition('/')[0]]}: {name}"
        for each in pages.values()
        for page, name in each.items()
    }
    heads = "".join(f'<th scope="col">{head}</th>' for head in HEADS)
    quoted = "".join(
        f"<li>{escape(t.name)}: {t.as_printed} {escape(_unit(t.unit))}"
        f"{_small([escape(t.setting), f'<code>{escape(t.id)}</code>'])}</li>\n"
        for t in ledger.context
    )
    apart = (
        "<details><summary>The numbers quoted for context, not run and not counted</summary>\n"
        f"<ul>\n{quoted}</ul></details>\n"
        if quoted
        else ""
    )
    return (
        '<div class="ledger">\n<form class="ledger-filters" hidden>\n'
        + _select("paper", [(paper, TITLES[paper]) for paper in papers])
        + _select("item", [(item, item) for item in items])
        + _select("page", names.items())
        + _select("kind", [(tally, tally) for tally in TALLIES])
        + _select("verdict", [(verdict, verdict) for verdict in VERDICTS])
        + '<label>text <input type="search" name="text"></label>\n'
        '<button type="reset">show all</button>\n'
        '<output aria-live="polite"></output>\n</form>\n'
        f"<p>The table has {len(entries)} targets. The counts below count {len(ledger.counted)} "
        f"of them; the other {len(entries) - len(ledger.counted)} repeat a comparison. "
        f"{len(ledger.context)} more numbers are only quoted for context.</p>\n"
        '<div class="ledger-scroll" tabindex="0" role="region" aria-label="Target numbers">\n'
        f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>\n"
        f"{apart}</div>\n"
    )


def _select(name: str, options: Iterable[tuple[str, str]]) -> str:
    inside = "".join(f'<option value="{escape(v)}">{escape(t)}</option>' for v, t in options)
    return (
        f'<label>{name} <select name="{name}"><option value="">all</option>{inside}</select>'
        "</label>\n"
    )


def _row(entry: Entry, pages: Mapping[str, str]) -> str:
    target = entry.target
    unit = escape(_unit(target.unit))
    printed = f"{stated(entry)} {unit}" if target.printed is not None else ""
    result = f"{ours(entry)} {unit}" if entry.ours is not None else ""
    allowed = f"± {entry.tolerance:g}" if entry.tolerance else ""
    n = entry.judgement.seeds
    seeds = f"{number_of('seed', n)}, " if n else ""
    behind = [interval(entry, "[{}, {}]"), f"{seeds}{entry.profile}" if entry.profile else ""]
    known = [escape(_sentence(entry.explanation))]
    if entry.verdict == "not run" and entry.command:
        run, *options = escape(entry.command).split(" --")
        known.append(f"<code>{run}{''.join(map(_option, options))}</code>")
    if entry.same_as:
        known.append(f"The same comparison as <code>{escape(entry.same_as)}</code>, counted there.")
    kind = entry.verdict.replace(" ", "-")
    links = [
        f'<a href="../notebooks/{page}.html">{escape(name)}</a>' for page, name in pages.items()
    ]
    about = [
        escape(target.setting),
        f"Page: {', '.join(links)}" if links else "",
        f"<code>{escape(entry.id)}</code>",
    ]
    return (
        f'<tr data-paper="{entry.paper}" data-item="{escape(entry.item)}" '
        f'data-page="{" ".join(pages)}" data-verdict="{entry.verdict}" data-kind="{target.tally}">'
        f"<td>{escape(target.name)}{_small(about)}</td>"
        f"<td>{printed}{_small([allowed])}</td><td>{result}{_small(behind)}</td>"
        f'<td><span class="verdict {kind}">{entry.verdict}</span>{_small(known)}</td></tr>'
    )


def _sentence(text: str) -> str:
    """Return the text with a capital letter at the beginning and a full stop at the end."""
    stop = "" if not text or text.endswith((".", "?", "!")) else "."
    return f"{text[:1].upper()}{text[1:]}{stop}"


def _option(text: str) -> str:
    """Return one option of a shell command (``--name value``) as HTML, in which a line may break
    inside a long value, but not inside "--".
    """
    name, _, value = text.partition(" ")
    return f' <span class="option">--{name}</span> {value}'


def _small(texts: Iterable[str]) -> str:
    return "".join(f"<small>{text}</small>" for text in texts if text)


def _unit(unit: str) -> str:
    return {"percent": "%", "none": "", "count": "", "fraction": "", "ratio": ""}.get(unit, unit)
