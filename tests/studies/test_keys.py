"""The keys of stored results: if one changes, results that took hours to compute are lost."""

import pytest

from robustbook import catalogue, ledger
from robustbook.ledger import Record
from robustbook.runs import graph
from robustbook.studies.parameters import check

RECORDS = [r for r in ledger.read_records(catalogue.BOOK / "records") if r.provenance]


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: f"{r.paper}/{r.item}.{r.profile}")
def test_the_calls_of_a_published_record_are_those_of_today(record: Record) -> None:
    """A record stores the kinds of its calls with their seconds, so no store is needed."""
    study = catalogue.study(f"{record.paper}/{record.item}")
    parameters = check(study.Parameters, record.parameters)
    kinds = {call.kind for call in graph(list(study.calls(parameters).values())).values()}
    assert kinds == record.provenance["known_seconds"].keys()
