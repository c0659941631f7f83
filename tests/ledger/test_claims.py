"""The claims of the landing page: each status is computed from verdicts."""

from pathlib import Path

import pytest

from robustbook import catalogue, ledger
from robustbook.ledger import Claim, read_claims, sides, status

CLAIM = Claim("saturating", "It holds", "saturating/table1", ("a", "b"), ("no",), ("f64",))


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ({}, "untested"),
        ({"a": "not run", "b": "other setting", "no": "no printed number"}, "untested"),
        ({"a": "reproduced"}, "survives so far"),
        ({"a": "reproduced", "b": "other setting"}, "survives so far"),
        ({"a": "reproduced", "b": "reproduced"}, "survives"),
        ({"a": "reproduced", "b": "inconclusive"}, "inconclusive"),
        ({"a": "reproduced", "b": "not reproduced"}, "fails"),
        ({"a": "reproduced", "b": "reproduced", "no": "reproduced"}, "fails"),
        ({"a": "reproduced", "no": "not reproduced"}, "survives"),
        ({"no": "not reproduced"}, "survives so far"),
        ({"no": "inconclusive"}, "inconclusive"),
        ({"a": "reproduced", "f64": "reproduced"}, "only in float32"),
        ({"a": "inconclusive", "f64": "reproduced"}, "inconclusive"),
        ({"a": "not reproduced", "f64": "reproduced"}, "fails"),
        ({"a": "reproduced", "f64": "not reproduced"}, "survives so far"),
        ({"f64": "reproduced"}, "untested"),
    ],
)
def test_a_status_follows_from_the_verdicts(verdicts: dict[str, str], expected: str) -> None:
    assert status(CLAIM, verdicts) == expected
    assert expected in ledger.STATUSES


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("nobody,x,,saturating/table-1/sigmoid-vanilla/accuracy,,", "paper must be one of"),
        ("saturating,x,,,,saturating/critique/float64-fgsm", "no target supports or refutes"),
        ("saturating,x,,saturating/none,,", "no target has the id 'saturating/none'"),
    ],
)
def test_a_row_at_fault_is_refused(row: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "claims.csv"
    path.write_text(f"paper,claim,page,supported_by,refuted_by,lost_in_float64\n{row}\n")
    with pytest.raises(ValueError, match=fault):
        read_claims(path, ledger.read_targets(catalogue.BOOK / "targets"))


def test_a_claim_stands_once(tmp_path: Path) -> None:
    row = "saturating,x,,saturating/table-1/sigmoid-vanilla/accuracy,,\n"
    path = tmp_path / "claims.csv"
    path.write_text(f"paper,claim,page,supported_by,refuted_by,lost_in_float64\n{row}{row}")
    with pytest.raises(ValueError, match="is listed twice"):
        read_claims(path, ledger.read_targets(catalogue.BOOK / "targets"))


def test_the_books_claims_name_targets_of_pages_that_exist(root: Path) -> None:
    """A claim without a page belongs to a paper without a chapter, so it is untested."""
    targets = ledger.read_targets(root / "book" / "targets")
    verdicts = {entry.id: entry.verdict for entry in ledger.build(root / "book").entries}
    claims = read_claims(root / "book" / "claims.csv", targets)
    assert {claim.paper for claim in claims} == set(ledger.PAPERS)
    for claim in claims:
        if claim.page:
            assert (root / "notebooks" / f"{claim.page}.md").exists(), claim
        else:
            assert status(claim, verdicts) == "untested", claim


def test_the_claim_on_heavy_tails_rests_on_every_layer_of_both_networks(root: Path) -> None:
    """The paper says it of every layer, so a layer in which it is open leaves the claim open."""
    targets = ledger.read_targets(root / "book" / "targets")
    claims = read_claims(root / "book" / "claims.csv", targets)
    (claim,) = (claim for claim in claims if claim.page == "saturating/figure1")
    assert claim.supported_by == tuple(
        f"saturating/figure-1/{net}-layer-{layer}/kurtosis-saturated"
        for net in ("sigmoid", "relu")
        for layer in (1, 2, 3)
    )


def test_each_comparison_speaks_for_a_claim_or_against_it():
    claim = Claim("survey", "It holds", "", ("a", "b", "c", "h", "i"), ("d", "e"), ("f", "g"))
    verdicts = dict.fromkeys("ae", "reproduced") | dict.fromkeys("bd", "not reproduced")
    # In float64 ("f") the effect is smaller, which speaks neither for nor against the claim.
    verdicts |= {"c": "inconclusive", "f": "reproduced", "h": "other setting", "i": "not run"}
    assert sides(claim, verdicts) == {
        "for": 2,
        "against": 2,
        "open": 1,
        "only in another setting": 1,
        "not run": 1,
    }
