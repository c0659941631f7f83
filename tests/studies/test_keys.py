"""The keys of stored results: if one changes, results that took hours to compute are lost."""

from collections.abc import Iterator
from typing import Any

import pytest

from robustbook import catalogue, ledger
from robustbook.ledger import Record
from robustbook.runs import graph
from robustbook.studies.parameters import check

RECORDS = [r for r in ledger.read_records(catalogue.BOOK / "records") if r.provenance]


def parameters_of(record: Record) -> Iterator[dict[str, Any]]:
    """Yield the parameters of each run that the record was merged from. A run has a subset of the
    record's seeds, networks or defenses.
    """
    for part in record.provenance.get("parts", [{"of": [{"seeds": record.seeds}]}]):
        for group in part["of"]:
            names = [name for name in group if name != "seeds"]
            for values in zip(*(group[name] for name in names), strict=True) if names else [()]:
                chosen = {name: [value] for name, value in zip(names, values, strict=True)}
                yield {**record.parameters, "seeds": list(group["seeds"]) or None, **chosen}


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: f"{r.paper}/{r.item}.{r.profile}")
def test_the_calls_of_a_published_record_are_those_of_today(record: Record) -> None:
    """A record stores the kinds of its calls with their seconds, so no store is needed."""
    study = catalogue.study(f"{record.paper}/{record.item}")
    calls = [
        call
        for given in parameters_of(record)
        for call in study.calls(check(study.Parameters, given)).values()
    ]
    kinds = {call.kind for call in graph(calls).values()}
    assert kinds == record.provenance["known_seconds"].keys()
