"""Provide the functions that a notebook of the book calls: to check parameters, to run a study or
show stored results, and to give verdicts.

After its parameters cell, a notebook calls ``here = page.begin("saturating/table-1", globals())``,
and then ``here.run()``, which computes nothing with profile "published". The figures and tables of
the page show the record ``here.shown``.
"""

import ast
import io
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, fields
from functools import cached_property
from types import ModuleType
from typing import Any

from IPython.display import SVG, Markdown, display
from matplotlib.figure import Figure

from robustbook import catalogue, ledger
from robustbook.chapters.badges import of_page
from robustbook.chapters.published import Version, records_of, version_of
from robustbook.chapters.verdicts import reasons_of, verdicts_of
from robustbook.chapters.wording import whole_percent
from robustbook.durations import duration
from robustbook.figures import Table, parts, style
from robustbook.ledger import Record
from robustbook.studies.parameters import BadParameter, Parameters, check

OWN = {"seeds", "networks"}
"""The names of parameters whose default is None; None means the value that the chosen profile (the
size of the experiment) has for this parameter.
"""
INJECTED = "# Parameters"
"""The first line of the cell that papermill inserts after the parameters cell."""


@dataclass
class Page:
    """The page of one table, figure or claim of a paper; ``item`` is its name.

    ``published`` is the book's record of the largest experiment, or None if the book has no stored
    results. ``others`` are the book's records for other profiles. ``fresh`` is the record of a run
    that a reader starts on the page; before such a run, it is None.
    """

    item: str
    given: Mapping[str, Any]
    published: Record | None
    others: tuple[Record, ...] = ()
    fresh: Record | None = None

    def run(self) -> Markdown:
        """Run the study and say how long it took. With profile ``published`` nothing is computed:
        the page shows the results that come with the book.
        """
        if self.given.get("profile", "published") == "published":
            told = f"This page shows the book's stored results: {self._origin(self.shown)}."
            for other in self.others:
                ranks = [ledger.PROFILES.index(each.profile) for each in (self.shown, other)]
                which = "a smaller" if ranks[0] < ranks[1] else "another"
                told += f" Some are from {which} experiment: {self._origin(other)}."
            return Markdown(told)
        from robustbook import publishing  # imported here, because it needs torch

        self.fresh = publishing.compute(self.study, self.parameters)
        return Markdown(
            f"Run on this machine: {self._origin(self.fresh)}. The results of this run have the "
            "heading *This run*. All other results of the page are the book's stored results."
        )

    @cached_property
    def study(self) -> ModuleType:
        """Return the module that computes the table, figure or claim.

        Importing the module takes seconds, so a page that only shows stored results does not import
        it.
        """
        return catalogue.study(self.item)

    @cached_property
    def parameters(self) -> Parameters:
        """Return the values of all parameters: the reader's values, after a check, and default
        values for all parameters that the reader did not set.
        """
        found: Parameters = check(self.study.Parameters, self.given)
        return found

    @property
    def shown(self) -> Record:
        """Return the record that the page shows: the book's record or, if there is none, the record
        of the page's own run.
        """
        record = self.published or self.fresh
        if record is None:
            raise BadParameter(
                f"profile must be quick or paper, because the book has no stored results of "
                f"{self.item} yet, got 'published'"
            )
        return record

    @property
    def records(self) -> list[Version]:
        """Return up to two records, each with a heading: the book's best record, and the record of
        the page's own run.
        """
        return [*self._published[:1], *self._fresh]

    @property
    def every(self) -> list[Version]:
        """Return all records that the page can show, each with a heading: first the records of the
        book, then the record of the page's own run.
        """
        return [*self._published, *self._fresh]

    @property
    def groups(self) -> list[tuple[Record, ...]]:
        """Return up to two groups of records, each of which is drawn in one figure: the records of
        the book, and the record of the page's own run. A group without records is left out.
        """
        both = (self._published, self._fresh)
        return [tuple(version.record for version in group) for group in both if group]

    @property
    def _published(self) -> list[Version]:
        if self.published is None:
            return []
        return [version_of(record) for record in (self.published, *self.others)]

    @property
    def _fresh(self) -> list[Version]:
        if self.fresh is None:
            return []
        return [Version(self.fresh, f"This run ({self.fresh.profile})", fresh=True)]

    def answers(
        self,
        sentence: Callable[[tuple[Record, ...]], str],
        kinds: Mapping[str, str] | None = None,
    ) -> Markdown:
        """Return the page's answer like `answer`, but compute its sentence from all records of the
        book: ``sentence`` gets a tuple of records, with the best one first.
        """
        return self.answer(lambda best: sentence((best, *self.others)), kinds)

    def answer(
        self, sentence: Callable[[Record], str], kinds: Mapping[str, str] | None = None
    ) -> Markdown:
        """Return the page's answer: a sentence that is computed from the book's best record.

        ``kinds``: the kinds of comparisons for which `of_page` returns verdicts; these verdicts
            follow the sentence. By default no verdicts follow, because most sentences state the
            verdict themselves.
        """
        if self.published is None:
            return Markdown("**Answer.** The book has no stored results for this page yet.")
        verdicts = of_page(self.item, kinds) if kinds else ""
        return say(f"**Answer.** {sentence(self.published)} {verdicts}".strip())

    def verdicts(self) -> Table | Markdown:
        """Return a table with the paper's numbers that we measured and our numbers beside them. If
        we measured none, return a sentence that says so. `reasons` returns the reasons for the
        verdicts.
        """
        return verdicts_of(self.item)

    def reasons(self) -> Markdown:
        """Return our explanation for each of the paper's numbers that was not reproduced, and why
        other verdicts are inconclusive.
        """
        return say(reasons_of(self.item))

    def _origin(self, record: Record) -> str:
        words = [f"profile `{record.profile}`"]
        if record.seeds:
            several = "s" * (len(record.seeds) > 1)
            words.append(f"seed{several} {', '.join(map(str, record.seeds))}")
        origin = record.provenance
        if record is self.fresh:  # tests do not compare times, which vary
            wall = origin["wall_seconds"]
            took = duration(wall) if wall >= 0.05 else "less than 0.1 s"
            words.append(f"{took} on {origin.get('device', 'cpu')}")
        elif origin.get("date"):  # no date if nothing was run
            words.append(f"{duration(origin['seconds'])} of computing, {origin['date']}")
        return "; ".join(words)


def begin(item: str, given: Mapping[str, Any]) -> Page:
    """Return the page of an item (a table, figure or claim), after checking the parameters that the
    notebook sets. ``given`` is the notebook's ``globals()``.

    The parameters cell, and the cell that papermill inserts after it, may only set parameters of
    the study, to values of the right type and range. With profile ``published``, the page shows the
    results that come with the book. So each value must be the default, or the value in the book's
    record. For a wrong value, ``BadParameter`` is raised before any computation. Names in
    ``globals()`` that other cells have set are ignored, unless they are names of parameters. So
    `begin` can be called twice in one kernel, if no later cell has set a parameter.
    """
    records = records_of(item) if item in catalogue.ITEMS else []
    published = records[0] if records else None
    if published is not None:
        page = Page(item, _set(given, published.parameters.keys()), published, tuple(records[1:]))
        if _asks_for(published, page.given):
            return page
    of = catalogue.study(item)
    page = Page(
        item, _set(given, {f.name for f in fields(of.Parameters)}), published, tuple(records[1:])
    )
    if page.parameters.profile == "published" and published is not None:
        defaults = of.Parameters().plain()
        for name, value in page.parameters.plain().items():
            held = published.parameters.get(name, value)
            held = tuple(held) if isinstance(held, list) else held
            if value not in (defaults[name], held):
                raise BadParameter(
                    f"{name} must be {_plain(held)} with profile published, which shows stored "
                    f"results, got {_plain(value)}; profiles that compute it: "
                    f"{', '.join(of.Parameters.own_seeds)}"
                )
    return page


def _asks_for(record: Record, given: Mapping[str, Any]) -> bool:
    """Return whether each parameter that the reader gave equals the value in the book's record. For
    a parameter in `OWN`, None counts as equal, because it stands for the profile's default.

    If all values are equal, they need no check. So the study is not imported, because its import
    takes seconds.
    """

    def same(name: str, value: Any) -> bool:
        if name == "profile":
            return bool(value == "published")
        held = record.parameters.get(name, record)  # `record` stands for no value
        return (name in OWN and value is None) or _plain(value) == _plain(held)

    return all(same(name, value) for name, value in given.items())


def _plain(value: Any) -> Any:
    """Return the value in a form in which equal values compare as equal. Tuples become lists, as in
    JSON. A boolean becomes a pair (bool, value), because Python counts True and 1 as equal.
    """
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    return (bool, value) if isinstance(value, bool) else value


def _set(given: Mapping[str, Any], known: Set[str]) -> dict[str, Any]:
    """Return the values set in the parameters cell or in the cell that papermill inserts."""
    return {
        name: given[name]
        for name in given
        if name in known | _assigned(given, known)
        and not name.startswith("_")
        and not callable(given[name])
        and not isinstance(given[name], ModuleType | Page)
    }


def _assigned(given: Mapping[str, Any], known: Set[str]) -> set[str]:
    """Return the names that are assigned in the parameters cell, or in the cell that papermill
    inserts.

    A Jupyter kernel keeps the source code of the cells that it has run in ``In``. The parameters
    cell is the latest one that annotates a parameter, as in ``eps: float = 0.25``. Without ``In``,
    the parameters are the annotated names of a script, or all names if ``given`` is a plain dict of
    values.
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
    """Return the names that a cell assigns at its top level, and for each whether the assignment
    has a type annotation.
    """
    try:
        statements = ast.parse(source).body
    except SyntaxError:
        return {}
    found = [
        (t, False) for each in statements if isinstance(each, ast.Assign) for t in each.targets
    ]
    found += [(each.target, True) for each in statements if isinstance(each, ast.AnnAssign)]
    return {target.id: annotated for target, annotated in found if isinstance(target, ast.Name)}


def published(item: str) -> Page:
    """Return the page of a table, figure or claim with the book's stored results, for notebook
    cells that come before the parameters cell.
    """
    return begin(item, {})


def say(text: str) -> Markdown:
    """Return a text for display, without a line break between a number and its percent sign."""
    return Markdown(whole_percent(text))


def svg(figure: Figure) -> SVG:
    """Return a figure as SVG; two figures of the same numbers have the same bytes.

    The attribute ``data-parts`` says which parts of the figure the book shows below each other on a
    phone (see `robustbook.figures.parts`).
    """
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        attribute = f'<svg data-parts="{parts(figure)}"'
    return SVG(buffer.getvalue().replace("<svg", attribute, 1))


def show_figures(draw: Callable[[Record], Figure], versions: Iterable[Version]) -> None:
    """Show one figure per record, each under the heading of the record."""
    for version in versions:
        display(Markdown(f"{version.heading}:"), svg(draw(version.record)))


def alone(draw: Callable[[Sequence[Record]], Figure]) -> Callable[[Record], Figure]:
    """Return a function that draws a figure from one record, for `show_figures`; ``draw`` draws the
    figure from several records.
    """
    return lambda record: draw([record])


def show_tables(make: Callable[[Version], Table], versions: Iterable[Version]) -> None:
    """Show one table per record; ``make`` returns the table of a record."""
    for version in versions:
        display(make(version))
