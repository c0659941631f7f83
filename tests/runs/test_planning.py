"""The plan predicts what `run` will do."""

import dataclasses
import os
from pathlib import Path

import pytest
import sample_steps as s

from robustbook import training
from robustbook.durations import duration
from robustbook.runs import Call, Plan, Store, plan, planning, run, runs_on

LOG = os.devnull


def keep(store: Store, call: Call, seconds: float, fingerprint: str = "") -> None:
    """Store a result with the given run time and source fingerprint."""
    source = fingerprint or planning.fingerprint(call.module, call.function)
    with store.lock(call):
        store.save(call, {"x": 1}, seconds=seconds, provenance={"fingerprint": source})


def counts(p: Plan) -> dict[str, tuple[int, int, int]]:
    return {r.step.rpartition(":")[2]: (r.stored, r.stale, r.missing) for r in p.steps}


def test_counts_before_during_and_after_a_run(tmp_path: Path) -> None:
    store = Store(tmp_path)
    calls = s.study(LOG)  # 6 leaves, 5 pairs, one total of three
    assert counts(plan(calls, store)) == {"leaf": (0, 0, 6), "total": (0, 0, 6)}
    run(calls[:2], store=store, workers=0, progress=False)
    assert counts(plan(calls, store)) == {"leaf": (3, 0, 3), "total": (2, 0, 4)}
    run(calls, store=store, workers=0, progress=False)
    after = plan(calls, store)
    assert counts(after) == {"leaf": (6, 0, 0), "total": (6, 0, 0)}
    assert after.missing == 0 and after.wall == 0
    assert "Nothing is missing." in after.describe()


def test_what_is_missing_under_a_stored_call_is_not_needed(tmp_path: Path) -> None:
    store = Store(tmp_path)
    call = s.total(LOG, (s.leaf(LOG, 0),))
    keep(store, call, 1.0)
    assert counts(plan([call], store)) == {"total": (1, 0, 0)}


def test_changed_source_is_stale_and_so_is_what_depends_on_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    leaf = s.leaf(LOG, 0)
    call = s.total(LOG, (leaf,))
    keep(store, leaf, 1.0, fingerprint="older")
    keep(store, call, 2.0)
    p = plan([call, s.plain(s.Recipe())], store)
    assert counts(p) == {"leaf": (0, 1, 0), "total": (0, 1, 0), "plain": (0, 0, 1)}
    assert [r.spent for r in p.steps] == [1.0, 2.0, 0.0]
    assert "2 results are from older source" in p.describe()
    assert run([call], store=store, workers=0, progress=False)[0].values == {"x": 1}  # still used


def test_another_version_is_missing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, s.leaf(LOG, 0), 1.0)
    assert plan([dataclasses.replace(s.leaf(LOG, 0), version=2)], store).missing == 1


def test_a_damaged_result_is_missing_and_planning_moves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, s.leaf(LOG, 0), 1.0)
    (path,) = tmp_path.glob("??/*.json")
    path.write_text("half of")
    assert plan([s.leaf(LOG, 0)], store).missing == 1
    assert path.read_text() == "half of"


def test_estimates_from_other_seeds_then_from_records_and_from_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path)
    slow = [s.leaf(LOG, seed, wait=9.0) for seed in range(4)]
    other, third = s.leaf(LOG, 0, wait=1.0), s.leaf(LOG, 0, wait=2.0)
    unknown = s.plain(s.Recipe())
    keep(store, slow[0], 10.0)
    keep(store, slow[1], 20.0)
    known = {slow[0].kind: 1000.0, other.kind: 3.0}
    expected = planning.estimates([*slow, other, third, unknown], store, known)
    assert expected == {**{c.key: 15.0 for c in slow}, other.key: 3.0}
    # A total over leaves of other seeds is of the same kind too.
    pair = s.total(LOG, (slow[0], slow[1]))
    keep(store, pair, 7.0)
    again = s.total(LOG, (slow[2], slow[3]))
    assert planning.estimates([again], store) == {again.key: 7.0}


def trained(steps: int, batch: int = 64, *, lr: float = 0.1, width: int = 200, **more) -> Call:
    stairs = ((steps // 2, 0.5),)
    return s.train(s.Net(width, training.Recipe(steps, batch, lr, schedule=stairs, **more)), seed=0)


def test_estimates_in_proportion_to_the_work(tmp_path: Path) -> None:
    """Steps, batch size and images scale the time, a learning rate does not matter, and anything
    else gives no estimate.
    """
    store = Store(tmp_path)
    keep(store, trained(100), 10.0)
    keep(store, trained(4000), 200.0)
    net = trained(100)
    keep(store, s.test(net, images=50), 2.0)
    asked = {
        trained(8000): 400.0,  # twice that of the nearest, 4000 steps
        trained(200): 20.0,
        trained(100, 128): 20.0,
        trained(50, 32, lr=0.5): 2.5,
        trained(100, width=201): None,
        trained(100, optimizer="sgd"): None,
        s.test(net, images=1000): 40.0,
        s.test(trained(4000), images=50): None,  # for another network
    }
    expected = planning.estimates(list(asked), store)
    for call, seconds in asked.items():
        assert expected.get(call.key) == pytest.approx(seconds), call


def test_times_are_kept_per_device(tmp_path: Path) -> None:
    """A GPU's seconds must not be used for a CPU."""
    store = Store(tmp_path)
    call, gpu = trained(100), {"device": "cuda:0", "hardware": "Some GPU", "fingerprint": ""}
    with store.lock(call):
        store.save(call, {}, seconds=3.0, provenance=gpu)
    asked = trained(1000)
    assert planning.estimates([asked], store) == {}
    assert planning.estimates([asked], store, device="Some GPU") == {asked.key: 30.0}
    assert store.devices() == {"Some GPU"}
    p = plan([asked], store, device="Some GPU")
    assert (p.device, p.workers) == ("Some GPU", 1)
    assert p.describe().endswith("Remaining: 30 s of computing, about 30 s with 1 at a time.")
    here = plan([asked], store)
    assert here.device == runs_on("auto")
    assert here.describe().endswith("It is not known yet how long the missing results will take.")


def test_wall_time_is_the_longest_chain_or_the_shared_work(tmp_path: Path) -> None:
    store = Store(tmp_path)
    leaves = [s.leaf(LOG, seed) for seed in range(4)]
    top = s.total(LOG, tuple(leaves))
    known = {leaves[0].kind: 10.0, top.kind: 5.0}
    walls = {n: plan([top], store, known, device="cpu", workers=n).wall for n in (1, 2, 4, 100)}
    assert walls == {1: 45.0, 2: 22.5, 4: 15.0, 100: 15.0}
    keep(store, leaves[0], 10.0)
    assert plan([top], store, known, device="cpu", workers=1).wall == 35.0


def test_without_workers_the_calls_run_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 workers is a choice, and not the default number."""
    monkeypatch.setattr(planning, "default_workers", lambda device: 8)
    for given, used in {0: 1, 1: 1, 3: 3, None: 8}.items():
        assert plan([], Store(tmp_path), device="cpu", workers=given).workers == used


def test_description(tmp_path: Path) -> None:
    store = Store(tmp_path)
    keep(store, s.leaf(LOG, 0), 100.0)
    calls = [s.total(LOG, (s.leaf(LOG, 0), s.leaf(LOG, 1))), s.plain(s.Recipe())]
    assert plan(calls, store, device="cpu", workers=2).describe() == (
        "step                stored  stale  missing       spent        left\n"
        "sample_steps:leaf        1      0        1  1 min 40 s  1 min 40 s\n"
        "sample_steps:total       0      0        1       0.0 s     unknown\n"
        "sample_steps:plain       0      0        1       0.0 s     unknown\n"
        "\n"
        "Remaining: 1 min 40 s of computing, about 1 min 40 s with 2 at a time. "
        "2 more missing results are not in this estimate."
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (3599.0, "59 min 59 s"),
        (3600.0, "1 h 00 min"),
        (36000.0 + 1830, "10 h 30 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
