import json
import shutil
from dataclasses import replace
from statistics import fmean

import pytest

from robustbook.ledger import (
    VERDICTS,
    Record,
    Row,
    build,
    read_reasons,
    read_records,
    read_targets,
    write_record,
)
from robustbook.ledger.build import _earlier, measurements
from robustbook.studies import items

ACCURACY = "saturating/table-1/sigmoid-vanilla/accuracy"
SATURATED = "saturating/table-1/sigmoid-saturated/fgsm-accuracy"
DOUBLE = "saturating/critique/float64-fgsm"  # its partner SATURATED is of another item


@pytest.fixture
def mine(book, tmp_path):
    """Return a book folder with the committed targets but no records and no reasons."""
    shutil.copytree(book / "targets", tmp_path / "targets")
    return tmp_path


def publish(book, *rows, item="table-1", profile="paper"):
    seeds = tuple(sorted({row.seed for row in rows if row.seed is not None}))
    record = Record("saturating", item, profile, {}, seeds, rows)
    return write_record(record, book / "records")


def row(value, target=ACCURACY, seed=0, **more):
    return Row(value, "percent", target=target, seed=seed, **more)


def line(book, id_=ACCURACY, **filters):
    found = build(book, command=items.command, **filters).entries
    return next(entry for entry in found if entry.id == id_)


def test_the_committed_ledger_builds(book):
    """Every committed record is valid and measures existing targets in their units."""
    ledger = build(book)
    assert len(ledger.entries) == 987 and len(ledger.context) == 216
    assert {entry.verdict for entry in ledger.entries} <= set(VERDICTS)


def unexplained(ledger, reasons):
    lost = [entry.id for entry in ledger.entries if entry.verdict == "not reproduced"]
    return [id_ for id_ in lost if id_ not in reasons]


def test_each_number_not_reproduced_has_a_written_reason(book):
    reasons = read_reasons(book / "reasons.csv", read_targets(book / "targets"))
    assert unexplained(build(book), reasons) == []


def test_a_comparison_is_counted_once(book):
    """a > b and b < a are one comparison, and so are an accuracy and its error.

    An ordering that a second item repeats is the same too. Equal numbers of different networks are
    two.
    """
    ledger = build(book)
    first = {entry.id: entry.same_as for entry in ledger.entries}
    table = "deep_defense/table-1/mnist-mlp"
    assert first[f"{table}/deep-defense/rho2"] == f"{table}/reference/rho2"
    assert first["deep_defense/claim-5/check"] == f"{table}/reference/rho2"
    saturated = "saturating/table-1/cnn-saturated"
    assert first[f"{saturated}/fgsm-error"] == f"{saturated}/fgsm-accuracy"
    assert first["deep_defense/table-1/cifar10-nin/deep-defense/fgs-1.0"] == ""
    # Two networks of one table, with equal accuracies by chance.
    assert first["survey/denoise-cifar/claim/no-1x1-hurts"] == ""
    assert not any(first[same] for same in first.values() if same)
    for entry in ledger.entries:
        if entry.same_as:
            same = next(e for e in ledger.entries if e.id == entry.same_as)
            assert (same.verdict, same.paper) == (entry.verdict, entry.paper)


def test_mirrors_are_found_beside_measurements_that_are_equal_by_chance(book):
    """Two pairs of networks of one table with equal measurements: a > b, b < a and c > d, d < c."""
    real = read_targets(book / "targets")
    one = real["deep_defense/table-1/mnist-mlp/reference/rho2"]
    other = real[one.partner]
    two, last = replace(one, id="c", partner="d"), replace(other, id="d", partner="c")
    targets = {target.id: target for target in (one, other, two, last)}
    found = measurements(real, read_records(book / "records"))
    equal = {id_: found[one.id if id_ in (one.id, "c") else other.id] for id_ in targets}
    first = {}
    same = [_earlier(first, target, targets, equal) for target in targets.values()]
    assert same == ["", one.id, "", "c"]


def test_an_ordering_compares_two_numbers_of_one_profile(book):
    """The difference is that of the two measurements with the line's profile."""
    targets = read_targets(book / "targets")
    found = measurements(targets, read_records(book / "records"))
    orderings = [entry for entry in build(book).entries if targets[entry.id].partner]
    compared = [entry for entry in orderings if entry.judgement.difference is not None]
    assert len(compared) > 50
    for entry in orderings:
        shared = found.get(entry.id, {}).keys() & found.get(targets[entry.id].partner, {}).keys()
        assert bool(shared) == (entry.judgement.difference is not None), entry.id
    for entry in compared:
        ids = entry.id, targets[entry.id].partner
        ours, theirs = (
            {row.seed: row.value for row in found[id_][entry.profile].rows} for id_ in ids
        )
        both = [seed for seed in ours if seed in theirs]
        difference = fmean(ours[seed] - theirs[seed] for seed in both)
        assert entry.judgement.difference[0] == pytest.approx(difference, rel=1e-5), entry.id


def test_an_ordering_waits_for_a_profile_that_has_both_numbers(mine):
    """A better measurement of only one number does not replace a comparison."""
    publish(mine, row(5.0, DOUBLE), item="critique", profile="quick")
    publish(mine, row(90.0, SATURATED))
    found = line(mine, DOUBLE)
    assert (found.verdict, found.ours, found.profile) == ("not run", 5, "quick")
    assert found.command.startswith("robustbook run saturating/critique ")
    publish(mine, row(80.0, SATURATED), profile="quick")
    assert line(mine, DOUBLE).judgement.difference[0] == -75
    publish(mine, row(6.0, DOUBLE), item="critique")
    assert line(mine, DOUBLE).judgement.difference[0] == -84


def test_orderings_without_seeds_are_the_same_only_with_equal_numbers(book, measured):
    """Orderings of two tables are compared by their numbers, also if these are not random."""
    real = read_targets(book / "targets")
    one = real["deep_defense/table-1/mnist-mlp/reference/rho2"]
    other = replace(one, id="c", item="other", partner="d")
    partners = [replace(one, id=each.partner, item=each.item) for each in (one, other)]
    targets = {target.id: target for target in (one, other, *partners)}
    for value, same in [(3.0, one.id), (4.0, "")]:
        values = {one.id: 3.0, one.partner: 1.0, "c": value, "d": 1.0}
        found = {id_: {"paper": measured(v, seeds=[None])} for id_, v in values.items()}
        first = {}
        assert [_earlier(first, each, targets, found) for each in (one, other)] == ["", same]


def test_a_missing_reason_is_found(mine):
    """The test above must be able to fail."""
    publish(mine, row(50.0))
    assert unexplained(build(mine), {}) == [ACCURACY]
    assert unexplained(build(mine), {ACCURACY: "known"}) == []
    assert line(mine).explanation.endswith(". We do not know the reason")


def test_json_has_exactly_the_agreed_keys(mine):
    publish(mine, row(97.58), row(97.62, seed=1))
    keys = (
        "id name paper item setting metric unit printed as_printed ours low high seeds profile "
        "verdict note reason command tally difference same_as tolerance held"
    ).split()
    whole = build(mine, command=items.command)
    objects = json.loads(json.dumps(whole.json(), allow_nan=False))
    assert all(list(found) == keys for found in objects)
    mine_only = next(found for found in objects if found["id"] == ACCURACY)
    assert mine_only["printed"] == 97.6 and mine_only["ours"] == 97.6
    assert mine_only["seeds"] == 2 and mine_only["profile"] == "paper"
    assert mine_only["verdict"] == "reproduced"
    unrun = next(found for found in objects if found["id"] == SATURATED)
    assert [unrun[key] for key in ("ours", "low", "high", "seeds", "profile")] == [None] * 5
    assert unrun["command"] == "robustbook run saturating/table-1 --profile paper"


def test_context_is_listed_apart(mine):
    ledger = build(mine)
    counted = {entry.id for entry in ledger.entries}
    assert all("context" in (t.note + t.setting).lower() for t in ledger.context)
    assert not counted & {target.id for target in ledger.context}


def test_the_best_profile_speaks(mine):
    publish(mine, row(10.0), profile="quick")
    assert (line(mine).verdict, line(mine).profile) == ("other setting", "quick")
    publish(mine, row(20.0), profile="reduced")
    assert line(mine).ours == 20
    publish(mine, row(97.6))
    assert (line(mine).verdict, line(mine).ours) == ("reproduced", 97.6)


def test_a_record_may_answer_targets_of_another_item(mine):
    """At the same profile the own item comes first; the command belongs to the record that is
    used.
    """
    publish(mine, row(5.0, DOUBLE), row(90.0, SATURATED))
    found = line(mine, DOUBLE)
    assert found.verdict == "reproduced"
    assert found.command == "robustbook run saturating/table-1 --profile paper"
    publish(mine, row(7.0, DOUBLE), item="critique", profile="quick")
    assert line(mine, DOUBLE).ours == 5
    publish(mine, row(6.0, DOUBLE), item="critique")
    assert line(mine, DOUBLE).ours == 6


def test_an_ordering_without_its_partner_names_what_would_run_it(mine):
    publish(mine, row(5.0, DOUBLE), item="critique")
    found = line(mine, DOUBLE)
    assert found.verdict == "not run" and found.ours == 5
    assert found.command == "robustbook run saturating/table-1 --profile paper"


def test_what_was_not_run_names_the_item_that_measures_it(mine):
    """Some tables are measured by items of other names, and ImageNet's rows by their own item."""
    entries = {e.id: e for e in build(mine, command=items.command).entries}
    alexnet = entries["deep_defense/table-1/imagenet-alexnet/reference/rho2"]
    assert alexnet.command == "robustbook run deep_defense/imagenet --profile paper"
    assert alexnet.note.startswith("needs a GPU, and ImageNet's photographs")
    lenet = entries["deep_defense/table-1/mnist-lenet/reference/rho2"]
    assert (lenet.command, lenet.note) == (
        "robustbook run deep_defense/table-1 --profile paper",
        "",
    )
    nin = entries["deep_defense/table-1/cifar10-nin/reference/rho2"]
    assert nin.command == (
        "robustbook run deep_defense/table-1 --profile paper --set 'networks=[\"nin\"]'"
    )
    settings = entries["saturating/text-4/settings/epsilon"]
    assert settings.command == "robustbook run saturating/claims --profile paper"
    googlenet = entries["deep_defense/anchor-deepfool-table-1/googlenet-ilsvrc2012/rho2"]
    assert (googlenet.command, googlenet.note) == ("", "GoogLeNet is not in the book")


def test_without_a_list_of_items_there_are_no_commands(mine):
    """The ledger itself knows no study."""
    assert {entry.command for entry in build(mine).entries} == {""}


def test_rows_without_a_target_are_not_judged(mine):
    publish(mine, Row(1.0, "percent", name="random signs", seed=0))
    assert {entry.verdict for entry in build(mine).entries} == {"not run"}


def test_filters(mine):
    assert {e.paper for e in build(mine, paper="survey").entries} == {"survey"}
    table = build(mine, paper="saturating", item="table-1").entries
    assert len(table) == 27
    publish(mine, row(10.0), profile="quick")
    publish(mine, row(97.6))
    assert line(mine, profile="quick").ours == 10
    reduced = line(mine, profile="reduced")
    assert reduced.verdict == "not run"
    # The item has no profile reduced.
    assert reduced.command == "robustbook run saturating/table-1 --profile paper"
    quick = line(mine, SATURATED, profile="quick")
    assert quick.command == "robustbook run saturating/table-1 --profile quick"


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"paper": "saturated"}, "paper must be one of deep_defense, .*, got 'saturated'"),
        ({"item": "table-99"}, "item must be one of .* got 'table-99'"),
        ({"paper": "saturating", "item": "leaderboard"}, "item must be one of critique, "),
        ({"profile": "published"}, "profile must be one of paper, quick, reduced, got 'published'"),
    ],
)
def test_filters_that_nothing_carries_are_refused(mine, filters, message):
    with pytest.raises(ValueError, match=message):
        build(mine, **filters)


def test_a_record_that_answers_nothing_known_is_refused(mine):
    """Otherwise a number with a misspelt id would never be shown."""
    publish(mine, row(1.0, ACCURACY.replace("vanilla", "vanila")))
    with pytest.raises(ValueError, match=f"is no target of saturating .nearest: {ACCURACY}."):
        build(mine)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,reason\n", "columns must be one of .*'ids', 'reason'"),
        ("ids,reason\nsaturating/table-1/nothing,because\n", "no target has the id"),
        (f"ids,reason\n{ACCURACY},  \n", "has an empty reason"),
        (f"ids,reason\n{ACCURACY}\n", "reasons.csv, line 2: a row must have 2 fields"),
        (f"ids,reason\n{ACCURACY},few, as we think\n", "line 2: a row must have 2 fields"),
        (f"ids,reason\n{ACCURACY},a\n{ACCURACY},b\n", "is listed twice"),
        (f"ids,reason\n{ACCURACY} {ACCURACY},a\n", "is listed twice"),
        ("ids,reason\n ,a\n", "line 2: the row has no id"),
    ],
)
def test_reasons_at_fault_are_refused(mine, text, message):
    (mine / "reasons.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        build(mine)


def test_a_reason_follows_what_the_rule_saw(mine):
    (mine / "reasons.csv").write_text(f'ids,reason\n{ACCURACY},"a narrower net, we think"\n')
    publish(mine, row(50.0))
    assert line(mine).explanation == (
        "our result is below the paper's number, and the difference exceeds the tolerance by 47 "
        "percentage points. A narrower net, we think"
    )


def test_a_number_that_a_paper_states_twice_is_counted_once(book):
    """Both lines are shown, and if only the repeated number is chosen, it is counted."""
    twice = "self-ensemble/figure-6/vgg16/distill/accuracy-c-0.1"
    once = "self-ensemble/table-2/distill/c-0.1"
    targets = read_targets(book / "targets")
    assert targets[twice].same_as == once
    for id_, target in targets.items():
        assert target.same_as in (*targets, "") and target.same_as != id_
        assert not target.same_as or not targets[target.same_as].same_as
    whole, figure = build(book), build(book, paper="self_ensemble", item="figure-6")
    assert next(e for e in whole.entries if e.id == twice).same_as == once
    assert next(e for e in figure.entries if e.id == twice).same_as == ""
    # Measured on networks of different widths: two comparisons, which may have other verdicts.
    wide = "self-ensemble/figure-6/vgg16/none/accuracy-c-0.1"
    assert targets[wide].same_as == "self-ensemble/table-2/none/c-0.1"
    assert next(e for e in whole.entries if e.id == wide).same_as == ""


def test_a_repetition_of_an_unknown_number_is_refused(mine):
    (mine / "targets" / "same.csv").write_text(f"id,same_as\n{ACCURACY},nothing\n")
    with pytest.raises(ValueError, match="same.csv, line 2: no target has the id 'nothing'"):
        build(mine)
