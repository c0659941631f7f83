import pytest

from robustbook.ledger import judge
from robustbook.ledger.intervals import prediction_interval

YES, NO = "reproduced", "not reproduced"


@pytest.mark.parametrize(
    ("compare", "printed", "tolerance", "ours", "verdict"),
    [
        ("equal", 97.6, 0.6, 97.0, YES),  # exactly on the edge, which has no exact binary form
        ("equal", 97.6, 0.6, 98.2, YES),
        ("equal", 97.6, 0.6, 96.99, NO),
        ("equal", 97.6, 0.6, 98.21, NO),
        ("equal", 32, 0, 32, YES),
        ("equal", 32, 0, 33, NO),
        ("at_most", 10, 1, 11, YES),
        ("at_most", 10, 1, 11.01, NO),
        ("at_most", 10, 1, 0, YES),
        ("at_least", 2, 0, 2, YES),
        ("at_least", 2, 0, 1.99, NO),
        ("at_least", 2, 0, 90, YES),
    ],
)
def test_one_run_is_judged_by_the_tolerance(
    target, measured, compare, printed, tolerance, ours, verdict
):
    asked = target(compare=compare, printed=float(printed), tolerance=float(tolerance))
    judged = judge(asked, measured(ours))
    assert judged.verdict == verdict
    assert (judged.ours, judged.low, judged.high, judged.seeds) == (ours, ours, ours, 1)


def test_several_seeds_are_judged_by_the_widened_interval(target, measured):
    """The edges are low - tolerance and high + tolerance, of the interval as shown."""
    values = [50.0, 52.0, 54.0]
    low, high = prediction_interval(values)
    for compare, below, above in [
        ("equal", NO, NO),
        ("at_most", NO, YES),  # printed above all of ours: a bound that holds
        ("at_least", YES, NO),
    ]:
        for printed, verdict in [
            (low - 1.01, below),
            (low - 0.99, YES),
            (high + 0.99, YES),
            (high + 1.01, above),
        ]:
            asked = target(compare=compare, printed=printed, tolerance=1.0)
            assert judge(asked, measured(*values)).verdict == verdict, (compare, printed)


def test_equal_is_at_most_and_at_least(target, measured):
    for printed in range(30, 75):
        verdicts = [
            judge(target(compare=c, printed=float(printed), tolerance=2.0), measured(50, 52, 54))
            for c in ("equal", "at_most", "at_least")
        ]
        equal, most, least = (judged.verdict == YES for judged in verdicts)
        assert equal == (most and least)


def test_the_interval_is_shown_without_the_tolerance(target, measured):
    judged = judge(target(compare="equal", printed=53.0, tolerance=9.0), measured(50, 52, 54))
    assert (judged.low, judged.high) == pytest.approx(prediction_interval([50, 52, 54]), rel=1e-5)


def test_images_widen_the_interval(target, measured):
    """Without the binomial error of 100 images 90.0 three times has no width at all."""
    asked = target(compare="equal", printed=88.0)
    assert judge(asked, measured(90, 90, 90)).verdict == NO
    assert judge(asked, measured(90, 90, 90, images=100)).verdict == YES


def test_a_mean_that_only_the_spread_carries_is_said_so(target, measured):
    judged = judge(target(compare="at_most", printed=1.0), measured(0, 0, 30, 40, 0))
    assert judged.verdict == YES
    assert "only the spread over seeds" in judged.note


def ordering(target, compare="greater_than", **changes):
    return target(compare=compare, kind="claim", partner="saturating/b", **changes)


@pytest.mark.parametrize("compare", ["greater_than", "less_than"])
def test_an_ordering_must_clear_zero_on_its_own_side(target, measured, compare):
    """Differences 1, 2, 3 by seed: 2 +- 4.303 / sqrt(3) = [-0.48, 4.48]; 11, 12, 13 clear it."""
    base, sign = measured(50, 60, 70), 1 if compare == "greater_than" else -1
    near = measured(*(v + sign * d for v, d in zip((50, 60, 70), (1, 2, 3), strict=True)))
    far = measured(*(v + sign * d for v, d in zip((50, 60, 70), (11, 12, 13), strict=True)))
    asked = ordering(target, compare)
    assert judge(asked, near, base).verdict == NO
    assert judge(asked, far, base).verdict == YES
    assert judge(asked, base, far).verdict == NO


def test_orderings_pair_by_seed_and_not_by_position(target, measured):
    """Seeds that differ by 20 drown a difference of 12 unless each is compared with itself."""
    ours = measured(82, 61, 73, seeds=[2, 0, 1])
    same = judge(ordering(target), ours, measured(50, 60, 70, seeds=[0, 1, 2]))
    assert same.verdict == YES and same.note.endswith("], paired")
    other = judge(ordering(target), ours, measured(50, 60, 70, seeds=[3, 4, 5]))
    assert other.verdict == NO and other.note.endswith("], unpaired")


def test_a_single_run_must_exceed_the_tolerance(target, measured):
    """With one seed the tolerance of an ordering stands for the noise between seeds."""
    asked = ordering(target, tolerance=5.0)
    assert judge(asked, measured(56), measured(50)).verdict == YES
    assert judge(asked, measured(54), measured(50)).verdict == NO
    assert judge(asked, measured(54, 54), measured(50, 50)).verdict == YES  # noise was measured


def test_equal_values_are_no_ordering(target, measured):
    assert judge(ordering(target), measured(50), measured(50)).verdict == NO
    assert judge(ordering(target), measured(50, 50), measured(50, 50)).verdict == NO


def test_no_loss_allows_the_tolerance(target, measured):
    asked = ordering(target, tolerance=0.5, note="Claim is no loss of accuracy: ...")
    assert judge(asked, measured(97.6), measured(98.0)).verdict == YES
    assert judge(asked, measured(97.4), measured(98.0)).verdict == NO
    assert judge(asked, measured(97.3, 97.5), measured(98.0, 98.2)).verdict == NO
    assert judge(asked, measured(97.3, 98.1), measured(98.0, 98.0)).verdict == YES


def test_an_ordering_waits_for_its_partner(target, measured):
    judged = judge(ordering(target), measured(50))
    assert (judged.verdict, judged.ours) == ("not run", 50)
    assert "saturating/b, which has not been run" in judged.note


def test_a_pattern_is_decided_by_more_than_half_of_the_seeds(target, measured):
    asked = target(kind="claim")
    assert judge(asked, measured(1, 2, 3, holds=[True, True, False])).verdict == YES
    assert judge(asked, measured(1, 2, holds=[True, False])).verdict == NO
    assert "1 of 2" in judge(asked, measured(1, 2, holds=[True, False])).note


def test_a_claimed_pattern_must_be_decided(target, measured):
    """A forgotten `holds` would otherwise read as 'no printed number', and a claim would vanish."""
    with pytest.raises(ValueError, match="holds must be given for each seed"):
        judge(target(kind="claim"), measured(1, 2))
    with pytest.raises(ValueError, match="holds must be given for each seed"):
        judge(target(kind="none"), measured(1, 2, holds=[True, None]))


def test_a_number_to_be_reported_has_no_verdict(target, measured):
    judged = judge(target(kind="none"), measured(1, 3))
    assert (judged.verdict, judged.ours, judged.seeds) == ("no printed number", 2, 2)


def test_other_profiles_claim_nothing_but_say_the_direction(target, measured):
    asked = target(compare="equal", printed=50.0, tolerance=1.0)
    for value, direction in [(50, "comparison holds"), (60, "does not hold; ours lies above")]:
        judged = judge(asked, measured(value, profile="quick"))
        assert judged.verdict == "other setting" and direction in judged.note
    mixed = judge(ordering(target), measured(60), measured(50, profile="reduced"))
    assert mixed.verdict == "other setting"


def test_nothing_measured_is_not_run(target):
    judged = judge(target(compare="equal", printed=1.0), None)
    assert (judged.verdict, judged.ours, judged.seeds) == ("not run", None, None)


def test_another_unit_is_refused(target, measured):
    """0.97 as a fraction must never be held against 97 percent."""
    with pytest.raises(ValueError, match="asked for in percent, got fraction"):
        judge(target(compare="equal", printed=97.0), measured(0.97, unit="fraction"))


def test_a_value_that_nothing_was_drawn_for_has_no_seeds(target, measured):
    asked = target(compare="equal", printed=32.0, unit="count")
    judged = judge(asked, measured(32, unit="count", seeds=[None]))
    assert (judged.verdict, judged.seeds) == (YES, 0)
