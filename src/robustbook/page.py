"""What a notebook calls: check its parameters, run its study or show the record, give verdicts.

here = page.begin("saturating/table-1", globals())   # after the parameters cell
here.run()                                            # at profile "published" nothing is computed
here.shown                                            # the record that figures and tables draw from
"""

import ast
import io
import json
from collections.abc import Mapping, Set
from dataclasses import dataclass, fields
from functools import cached_property
from types import ModuleType
from typing import Any

from IPython.display import SVG, Markdown
from matplotlib.figure import Figure

from robustbook import catalogue, ledger
from robustbook.figures import Table, style, table
from robustbook.ledger import Record
from robustbook.runs import duration
from robustbook.studies.parameters import BadParameter, Parameters, accepted, check

INJECTED = "# Parameters"
"""How the cell begins that papermill puts behind the parameters cell."""


def values(
    record: Record, name: str = "", *, target: str | None = None, **setting: object
) -> list[float]:
    """One value per seed: of the rows of this name, or of this target, whose setting agrees with
    all of ``setting``."""
    return [
        row.value
        for row in record.rows
        if (row.target == target if target else row.name == name)
        and all(row.setting.get(k) == v for k, v in setting.items())
    ]


def printed(target: str) -> float | None:
    """What the paper printed for a target."""
    return ledger.read_targets(catalogue.BOOK / "targets")[target].printed


def entries(paper: str, item: str | None = None) -> tuple[ledger.Entry, ...]:
    """The lines of the ledger of a paper, or of one of its items."""
    return catalogue.whole_ledger(paper=paper, item=item).entries


def benchmark(name: str) -> dict[str, Any]:
    """What ``python -m benchmarks.<name>`` wrote down."""
    path = catalogue.BOOK.parent / "benchmarks" / "results" / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def spread(numbers: list[float], digits: int = 1) -> str:
    """The mean, and behind it the smallest and largest where there are several and they differ."""
    mean = f"{sum(numbers) / len(numbers):.{digits}f}"
    low, high = (f"{end:.{digits}f}" for end in (min(numbers), max(numbers)))
    dash = " to " if min(numbers) < 0 else "\u2013\u2060"  # the second forbids a break there
    return mean if low == high else f"{mean} ({low}{dash}{high})"


@dataclass
class Page:
    """One item in one notebook. ``published`` (the best one) and ``fresh`` are records, or None
    where there is none; ``others`` are published at lesser profiles."""

    item: str
    study: ModuleType
    parameters: Parameters
    published: Record | None
    others: tuple[Record, ...] = ()
    fresh: Record | None = None

    def run(self) -> Markdown:
        """At profile ``published`` nothing; else run the study, and say what it took."""
        if self.parameters.profile == "published":
            return Markdown(f"Shown: {self._origin(self.shown)}.")
        self.fresh = catalogue.compute(self.study, self.parameters)
        return Markdown(f"This run: {self._origin(self.fresh)}.")

    @property
    def shown(self) -> Record:
        """The record the page is about: the published one where there is one, else this run's."""
        record = self.published or self.fresh
        if record is None:
            raise BadParameter(
                f"profile must be quick or paper as nothing is published of {self.item} yet, "
                "got 'published'"
            )
        return record

    @property
    def records(self) -> list[tuple[str, Record]]:
        """Published and this run's, as far as there are any, each with a heading."""
        pairs = [("Published", self.published), ("This run", self.fresh)]
        return [(f"{name} ({r.profile})", r) for name, r in pairs if r is not None]

    @property
    def every(self) -> list[tuple[str, Record]]:
        """The same with what is published at lesser profiles, whose parts may be others."""
        lesser = [(f"Published ({r.profile})", r) for r in self.others]
        first = int(self.published is not None)
        return [*self.records[:first], *lesser, *self.records[first:]]

    @property
    def groups(self) -> list[tuple[Record, ...]]:
        """Records that share a figure: all that are published, the best first; then this run's."""
        published = () if self.published is None else (self.published, *self.others)
        fresh = () if self.fresh is None else (self.fresh,)
        return [group for group in (published, fresh) if group]

    def tag(self, record: Record) -> str:
        """The end of a label: no two of a page's records have the same."""
        return f"{record.profile}-run" if record is self.fresh else record.profile

    def accuracies(self, record: Record) -> dict[str, dict[str, dict[str, list[float]]]]:
        """Network, training and reading to one accuracy in percent per seed, from rows that say all
        three."""
        found: dict[str, dict[str, dict[str, list[float]]]] = {}
        for row in record.rows:
            if row.name == "accuracy" and {"network", "method", "reading"} <= row.setting.keys():
                network, method, reading = (
                    str(row.setting[k]) for k in ("network", "method", "reading")
                )
                found.setdefault(network, {}).setdefault(method, {}).setdefault(reading, []).append(
                    row.value
                )
        return found

    def finding(self, *deciding: str) -> Markdown:
        """The verdicts counted, and in one sentence each the targets that decide, named without the
        item."""
        entries, targets = self._entries, ledger.read_targets(catalogue.BOOK / "targets")
        words = ledger.counts(entries).replace("other setting", "at another setting")
        sentences = []
        for entry in entries:
            if entry.id.removeprefix(f"{self.item}/") in deciding:
                unit = " %" if entry.unit == "percent" else ""
                target = targets[entry.id]
                said = "claimed" if target.kind == "claim" else "printed"
                printed = f"{said} {_asked(entry, target.compare)}{unit}"
                if entry.printed is None:
                    printed = "no number printed"
                ours = "" if entry.ours is None else f", ours {_number(entry.ours)}{unit}"
                span = f" ({_interval(entry)})" if entry.seeds else ""
                metric = entry.metric.replace("_", " ").replace("fgsm", "FGSM")
                sentences.append(
                    f"- *{metric}* ({entry.setting}): {printed}{ours}{span}, {entry.verdict}."
                )
        return Markdown("\n".join([f"**Finding: {words}.**", "", *sentences]).rstrip())

    def verdicts(self) -> Table:
        """Printed against ours: the item's rows of the ledger that were run, without the reasons;
        all of them where none was."""
        paper, item = self.item.split("/")
        targets = ledger.read_targets(catalogue.BOOK / "targets")
        entries = self._entries
        there = [entry for entry in entries if entry.verdict != "not run"] or entries
        rest = len(entries) - len(there)
        return table(
            "Printed against ours, with the 95 % prediction interval for one more run. Where the "
            "paper states a bound, an order or a pattern and no number, the second column says so. "
            "For an order the interval is the 95 % confidence interval of the difference."
            + (f" {rest} more targets were not run; the ledger lists them." if rest else ""),
            f"tab-{paper}-{item}-ledger".replace("_", "-"),
            ["Target", "Printed", "Ours", "Interval", "Seeds", "Verdict"],
            [
                [
                    self._short(row.id),
                    _asked(row, targets[row.id].compare),
                    _number(row.ours),
                    _interval(row),
                    "" if row.seeds is None else str(row.seeds),
                    row.verdict,
                ]
                for row in there
            ],
            align="lrrrrl",
        )

    def reasons(self) -> Markdown:
        """Why, for each target that was not reproduced."""
        entries = self._entries
        lines = [
            f"- **{self._short(row.id)}**: {row.reason}"
            for row in entries
            if row.verdict == "not reproduced"
        ]
        if not lines and any(row.verdict == "reproduced" for row in entries):
            return Markdown("Nothing on this page failed to reproduce.")
        if not lines:
            return Markdown("Nothing on this page was judged: a verdict needs the paper's setting.")
        head = "What did not reproduce, and the best evidence why:"
        return Markdown("\n".join([head, "", *lines]))

    def _short(self, target: str) -> str:
        """A target's id without the item, or where the page judges another's, without the paper."""
        return target.removeprefix(f"{self.item}/").removeprefix(f"{self.item.split('/')[0]}/")

    @cached_property
    def _entries(self) -> tuple[ledger.Entry, ...]:
        """The ledger's lines of all items that the page judges, item by item."""
        lines = entries(self.item.split("/")[0])
        judged = catalogue.judged(self.item)
        return tuple(e for item in judged for e in lines if f"{e.paper}/{e.item}" == item)

    def _origin(self, record: Record) -> str:
        words = [f"profile `{record.profile}`"]
        if record.seeds:
            words.append("seeds " + ", ".join(map(str, record.seeds)))
        origin = record.provenance
        if record is self.fresh:  # times differ from run to run, so never in what tests compare
            words.append(f"{duration(origin['wall_seconds'])} on {origin.get('device', 'cpu')}")
        elif origin.get("date"):  # none where no step was run
            words.append(f"{duration(origin['seconds'])} of computing, {origin['date']}")
        return "; ".join(words)


def begin(item: str, given: Mapping[str, Any]) -> Page:
    """Check the values of the parameters cell; ``given`` is the notebook's ``globals()``.

    Each name that the parameters cell or papermill's cell behind it sets must be a parameter of the
    study, and its value must be of the right type and in range. At profile ``published`` it must be
    the value that the record was made with. Otherwise ``BadParameter`` is raised before any work.
    Other names in ``globals()`` do not matter, so that a page may be run again in one kernel.
    """
    of = catalogue.study(item)
    known = {field.name for field in fields(of.Parameters)}
    names = {
        name: given[name]
        for name in given
        if name in known | _assigned(given, known)
        and not name.startswith("_")
        and not callable(given[name])
        and not isinstance(given[name], ModuleType | Page)
    }
    parameters = check(of.Parameters, names)
    records = _published(item)
    published = records[0] if records else None
    if parameters.profile == "published" and published is not None:
        defaults = of.Parameters().plain()
        for name, value in parameters.plain().items():
            held = published.parameters.get(name, value)
            held = tuple(held) if isinstance(held, list) else held
            if value not in (defaults[name], held):
                raise BadParameter(
                    f"{name} must be {held} at profile published, which shows the record, "
                    f"got {value}; profiles that compute it: {', '.join(of.Parameters.own_seeds)}"
                )
    return Page(item, of, parameters, published, tuple(records[1:]))


def _assigned(given: Mapping[str, Any], known: Set[str]) -> set[str]:
    """The names that the parameters cell and papermill's cell behind it assign.

    A kernel keeps the sources of the cells it has run in ``In``. The parameters cell is the latest
    one that annotates a parameter, as in ``eps: float = 0.25``. A script has no ``In``: there all
    annotated names count. In a dict of values, which has neither, all names do.
    """
    if "In" not in given:
        return set(given.get("__annotations__", given))
    names: set[str] = set()
    for source in given["In"]:
        found = _targets(source)
        if any(found[name] for name in known & found.keys()):
            names = set(found)
        elif source.startswith(INJECTED):
            names |= found.keys()
    return names


def _targets(source: str) -> dict[str, bool]:
    """The names that a cell assigns at its top level, and whether it annotates them."""
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return {}
    found = [
        (t, False) for each in statements if isinstance(each, ast.Assign) for t in each.targets
    ]
    found += [(each.target, True) for each in statements if isinstance(each, ast.AnnAssign)]
    return {target.id: annotated for target, annotated in found if isinstance(target, ast.Name)}


def _published(item: str) -> list[Record]:
    """An item's records, the best profile first."""
    paper, name = item.split("/")
    paths = [
        ledger.record_path(catalogue.BOOK / "records", paper, name, p) for p in ledger.PROFILES
    ]
    return [ledger.read_record(path) for path in paths if path.exists()]


def records_of(item: str) -> list[Record]:
    """The published records of another item, the best profile first; ``BadParameter`` where there
    is none."""
    records = _published(item)
    if not records:
        raise BadParameter(f"item must have a published record, got {item!r}, which has none")
    return records


def record_of(item: str) -> Record:
    """The best published record of another item; ``BadParameter`` where there is none."""
    return records_of(item)[0]


def svg(figure: Figure) -> SVG:
    """A figure as the book shows it: the same bytes for the same numbers."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return SVG(buffer.getvalue())


def _interval(entry: ledger.Entry) -> str:
    """The interval in words; with one seed there is none, and with none nothing was drawn."""
    if entry.seeds == 1:
        return "one seed"
    if entry.difference is not None:
        _, low, high = entry.difference
        return f"difference {low:+.4g} to {high:+.4g}"
    return f"{_number(entry.low)} to {_number(entry.high)}" if entry.seeds else ""


def _asked(entry: ledger.Entry, compare: str) -> str:
    """What the paper states: a number, a bound, or in one word an order or a pattern."""
    if entry.printed is None:
        words = {"greater_than": "greater", "less_than": "less", "shape": "pattern"}
        return "" if entry.verdict == "no printed number" else words.get(compare, "")
    bound = {"at_most": "at most ", "at_least": "at least "}.get(compare, "")
    return f"{bound}{_number(entry.printed)}"


def _number(value: float | int | None) -> str:
    """Four digits, or all of a larger whole number."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 10_000 and value == int(value) else f"{value:.4g}"


def parameters_table(item: str) -> Table:
    """The parameters of an item, with defaults and what each accepts."""
    of = catalogue.study(item)
    defaults = of.Parameters()
    return table(
        "Parameters.",
        f"tab-{item.replace('/', '-')}-parameters".replace("_", "-"),
        ["Name", "Default", "Accepted"],
        [
            [f"`{k}`", f"`{getattr(defaults, k)}`", text]
            for k, text in accepted(of.Parameters).items()
        ],
    )
