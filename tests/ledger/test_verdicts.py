import math

import pytest

from robustbook.ledger import judge, runs_in_words
from robustbook.ledger.intervals import prediction_interval, sampling_error

YES, NO, UNSURE = "reproduced", "not reproduced", "inconclusive"


@pytest.mark.parametrize(
    ("compare", "printed", "tolerance", "ours", "verdict"),
    [
        ("equal", 97.6, 0.6, 97.0, YES),  # exactly on the edge, which is not exact in binary
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
    """50, 52, 54 give 52 +- 9.94. The edges are low - tolerance and high + tolerance.

    Between the edges, but farther from our mean than the tolerance, a number is inconclusive.
    """
    values = [50.0, 52.0, 54.0]
    low, high = prediction_interval(values)
    for tolerance in (6.0, 5.0):  # above the error of the mean, 4.97
        for compare, below, above in [
            ("equal", NO, NO),
            ("at_most", NO, YES),  # the printed bound is above all our values, so it holds
            ("at_least", YES, NO),
        ]:
            for printed, inside, verdict in [
                (low - tolerance - 0.01, False, below),
                (low - tolerance + 0.01, True, below),
                (51.5, True, YES),  # our mean is within the tolerance
                (high + tolerance - 0.01, True, above),
                (high + tolerance + 0.01, False, above),
            ]:
                expected = UNSURE if inside and verdict == NO else verdict
                asked = target(compare=compare, printed=printed, tolerance=tolerance)
                judged = judge(asked, measured(*values))
                assert judged.verdict == expected, (compare, printed, tolerance)


def test_more_noise_never_helps_to_agree(target, measured):
    """With the same mean and a growing spread, the verdict can only become inconclusive."""
    asked = target(compare="equal", printed=94.0, tolerance=3.0)
    verdicts = [
        judge(asked, measured(84 - s, 84, 84 + s)).verdict for s in (0.5, 1, 1.5, 2, 4, 8, 16)
    ]
    assert verdicts == [NO, NO, UNSURE, UNSURE, UNSURE, UNSURE, UNSURE]


def test_agreement_needs_an_error_within_the_tolerance(target, measured):
    """50, 52, 54 have the mean 52 ± 4.97; 64 of 100 images are 64 ± 9.3 %."""
    asked = target(compare="equal", printed=52.0, tolerance=5.0)
    assert judge(asked, measured(50.0, 52.0, 54.0)).verdict == YES
    judged = judge(asked, measured(49.9, 52.0, 54.1))
    assert judged.verdict == UNSURE
    assert "the error of our result (± 5.22" in judged.note
    for images, verdict in [(100, UNSURE), (400, YES), (10_000, YES)]:
        asked = target(compare="equal", printed=64.0, tolerance=5.0)
        assert judge(asked, measured(64.0, images=images)).verdict == verdict
    # Seeds that agree do not remove the error from the images, which all of them share. Error 0
    # means that these are all images.
    asked = target(compare="equal", printed=64.0, tolerance=5.0)
    three = [64.0, 64.5, 63.5]
    for images, verdict in [(100, UNSURE), (10_000, YES)]:
        assert judge(asked, measured(*three, images=images)).verdict == verdict
    assert judge(asked, measured(*three, images=100, error=0)).verdict == YES
    # A number that is no share may state its error itself.
    asked = target(compare="equal", printed=7.6, tolerance=4.0)
    for error, verdict in [(3.9, YES), (9.1, UNSURE)]:
        assert judge(asked, measured(4.0, error=error)).verdict == verdict
    assert judge(asked, measured(-4.0, error=9.1)).verdict == UNSURE
    # A mean far on the allowed side of a bound needs no exact measurement.
    for printed, verdict in [(50.0, YES), (63.0, UNSURE), (68.0, UNSURE), (70.0, NO)]:
        asked = target(compare="at_least", printed=printed, tolerance=1.0)
        assert judge(asked, measured(64.0, images=400)).verdict == verdict


def test_a_whole_test_set_of_few_images_counts_like_a_large_one(target, measured):
    """A row with error 0 is judged as if it had 10,000 images, with one seed and with several."""
    for values in ((61.0,), (61.0, 62.0, 63.0)):
        for printed in (55.0, 60.0, 62.0, 70.0):
            asked = target(compare="equal", printed=printed, tolerance=3.0)
            small = judge(asked, measured(*values, images=100, error=0))
            assert small == judge(asked, measured(*values, images=10_000))


def test_every_open_verdict_names_its_rule(target, measured):
    """The tables of the pages print this rule."""
    runs = [(50.0,), (56.0,), (50.0, 52.0, 54.0), (50.0, 56.0)]
    for values in runs:
        for images in (None, 100):
            ours = measured(*values, images=images)
            for compare in ("equal", "at_most", "at_least"):
                for printed in range(40, 70):
                    asked = target(compare=compare, printed=float(printed), tolerance=1.0)
                    judged = judge(asked, ours)
                    assert bool(judged.unsure) == (judged.verdict == UNSURE)
            for compare in ("less_than", "greater_than"):
                asked = target(compare=compare, partner="the other", tolerance=1.0)
                judged = judge(asked, ours, measured(51.0, 52.0, images=images))
                assert bool(judged.unsure) == (judged.verdict == UNSURE)
    split = judge(target(), measured(*range(5), holds=[True] * 4 + [False]))
    assert (split.verdict, split.unsure) == (UNSURE, split.note)


def test_equal_is_at_most_and_at_least(target, measured):
    """It holds if both bounds hold, and fails if one of them fails."""
    for printed in range(30, 75):
        equal, *bounds = (
            judge(target(compare=c, printed=float(printed), tolerance=2.0), measured(50, 52, 54))
            for c in ("equal", "at_most", "at_least")
        )
        verdicts = {judged.verdict for judged in bounds}
        worst = NO if NO in verdicts else UNSURE if UNSURE in verdicts else YES
        assert equal.verdict == worst


def test_the_interval_is_shown_without_the_tolerance(target, measured):
    judged = judge(target(compare="equal", printed=53.0, tolerance=9.0), measured(50, 52, 54))
    assert (judged.low, judged.high) == pytest.approx(prediction_interval([50, 52, 54]), rel=1e-5)


def test_images_widen_the_interval(target, measured):
    """Without the binomial error of 100 images, three values of 90.0 give an interval without
    width.
    """
    asked = target(compare="equal", printed=88.0)
    assert judge(asked, measured(90, 90, 90)).verdict == NO
    assert judge(asked, measured(90, 90, 90, images=100)).verdict == UNSURE


def test_a_printed_number_that_only_a_wide_interval_contains(target, measured):
    """This case led to the verdict: 94.43 is printed, and two seeds of five are far below."""
    asked = target(compare="equal", printed=94.43, tolerance=3.0)
    judged = judge(asked, measured(94, 95, 92, 66, 66))
    assert judged.verdict == UNSURE
    assert judged.note == (
        "our mean differs by more than the tolerance, but the prediction interval, widened by the "
        "tolerance, contains the printed number"
    )


@pytest.mark.parametrize(
    ("n", "against", "verdict"),
    [
        (1, 0, YES),
        (1, 1, NO),
        (2, 1, UNSURE),  # 1 - 0.95^2 = 0.0975
        (3, 0, YES),
        (3, 1, UNSURE),  # 1 - 0.95^3 = 0.143
        (3, 2, NO),
        (5, 1, UNSURE),  # 1 - 0.95^5 = 0.226
        (5, 2, NO),  # 0.0226
        (10, 1, UNSURE),
        (10, 2, UNSURE),  # 0.0861
        (10, 3, NO),  # 0.0115
    ],
)
def test_yes_or_no_is_judged_seed_by_seed(target, measured, n, against, verdict):
    """The rule uses the binomial probability that so many of n runs contradict a true claim.

    A true claim is assumed to hold in 19 of 20 runs. A Student interval of ones and zeros would
    contain almost any number.
    """
    values = [1] * against + [0] * (n - against)
    never = target(compare="equal", printed=0.0, unit="none", kind="claim")
    judged = judge(never, measured(*values, unit="none"))
    assert judged.verdict == verdict
    holds = [value == 0 for value in values]
    pattern = judge(target(kind="claim"), measured(*values, holds=holds))
    assert pattern.verdict == verdict and pattern.held == (n - against, n)
    assert judged.held == (pattern.held if n > 1 else None)
    assert pattern.note == f"the claim {runs_in_words(n - against, n)}"


def test_whole_numbers_without_a_tolerance_are_judged_seed_by_seed(target, measured):
    """9, 9, 12 have mean 10, but one run is above the bound."""
    most = target(compare="at_most", printed=10.0, unit="count")
    assert judge(most, measured(9, 9, 10, unit="count")).verdict == YES
    assert judge(most, measured(9, 9, 12, unit="count")).verdict == UNSURE
    assert judge(most, measured(9, 11, 12, unit="count")).verdict == NO


def ordering(target, compare="greater_than", **changes):
    return target(compare=compare, kind="claim", partner="saturating/b", **changes)


@pytest.mark.parametrize("compare", ["greater_than", "less_than"])
def test_an_ordering_must_clear_zero_on_its_own_side(target, measured, compare):
    """Differences 1, 2, 3 by seed give 2 +- 4.303 / sqrt(3) = [-0.48, 4.48]; 11, 12, 13 exclude
    0.
    """
    base, sign = measured(50, 60, 70), 1 if compare == "greater_than" else -1
    near = measured(*(v + sign * d for v, d in zip((50, 60, 70), (1, 2, 3), strict=True)))
    far = measured(*(v + sign * d for v, d in zip((50, 60, 70), (11, 12, 13), strict=True)))
    asked = ordering(target, compare)
    assert judge(asked, near, base).verdict == UNSURE
    assert judge(asked, far, base).verdict == YES
    assert judge(asked, base, far).verdict == NO
    # The whole interval is below the tolerance, so the difference is negligible.
    assert judge(ordering(target, compare, tolerance=5.0), near, base).verdict == NO
    low, high = sorted((sign * -0.484, sign * 4.484))
    assert judge(asked, near, base).difference == pytest.approx((sign * 2, low, high), abs=1e-3)


def test_orderings_pair_by_seed_and_not_by_position(target, measured):
    """Differences of 20 between seeds hide a difference of 12, unless each seed is paired with
    itself.
    """
    ours = measured(82, 61, 73, seeds=[2, 0, 1])
    same = judge(ordering(target), ours, measured(50, 60, 70, seeds=[0, 1, 2]))
    assert same.verdict == YES and same.note.endswith("), seed by seed")
    other = judge(ordering(target), ours, measured(50, 60, 70, seeds=[3, 4, 5]))
    assert other.verdict == UNSURE and other.note.endswith("), with different seeds")


def test_the_choice_of_few_images_widens_the_interval_of_an_order(target, measured):
    """All seeds use the same test images, so agreement between seeds does not remove this error."""
    asked = ordering(target)
    ours, theirs = (52, 53, 54), (50, 51, 52)
    whole = judge(asked, measured(*ours, images=10_000), measured(*theirs, images=10_000))
    few = judge(asked, measured(*ours, images=100), measured(*theirs, images=100))
    assert (whole.verdict, few.verdict) == ("reproduced", "inconclusive")
    error = math.hypot(*(sampling_error(mean, "percent", 100) for mean in (53, 51)))
    assert few.difference == pytest.approx((2, 2 - error, 2 + error), abs=0.01)


def test_a_single_run_must_exceed_the_tolerance(target, measured):
    """With one seed the tolerance of an ordering represents the noise between seeds."""
    asked = ordering(target, tolerance=5.0)
    assert judge(asked, measured(56), measured(50)).verdict == YES
    assert judge(asked, measured(54), measured(50)).verdict == NO
    assert judge(asked, measured(54, 54), measured(50, 50)).verdict == YES  # noise was measured


def test_a_single_run_on_few_images_refutes_nothing_that_their_choice_explains(target, measured):
    """29 of 100 images are compatible with 20 % of all images, but not 2,900 of 10,000."""
    asked = target(compare="equal", printed=20.0, tolerance=5.0)
    assert judge(asked, measured(29, images=100)).verdict == UNSURE
    assert "choice of our 100 test images" in judge(asked, measured(29, images=100)).note
    assert judge(asked, measured(29, images=9_000)).verdict == NO
    near = measured(25.2, images=9_000), measured(25.2, images=10_000)
    assert [judge(asked, run).verdict for run in near] == [
        UNSURE,
        NO,
    ]  # a whole test set is no choice
    assert judge(asked, measured(29)).verdict == NO
    assert judge(asked, measured(24, images=400)).verdict == YES
    none = target(compare="equal", printed=3.0, tolerance=1.0)
    assert judge(none, measured(0, images=100)).verdict == UNSURE  # no success is no certainty
    assert judge(none, measured(0, images=10_000)).verdict == NO


@pytest.mark.parametrize(("compare", "sign"), [("greater_than", 1), ("less_than", -1)])
def test_a_single_run_on_few_images_decides_no_order_that_their_choice_explains(
    target, measured, compare, sign
):
    asked = ordering(target, compare)
    few, many = {"images": 100}, {"images": 9_000}
    near, far, base = 50 + sign * 8, 50 + sign * 30, 50
    assert judge(asked, measured(near, **few), measured(base, **few)).verdict == UNSURE
    assert judge(asked, measured(near, **many), measured(base, **many)).verdict == YES
    assert judge(asked, measured(far, **few), measured(base, **few)).verdict == YES
    assert judge(asked, measured(base, **few), measured(far, **few)).verdict == NO
    assert judge(asked, measured(base, **few), measured(near, **few)).verdict == UNSURE
    wider = ordering(target, compare, tolerance=10.0)  # the tolerance must be exceeded too
    assert judge(wider, measured(near, **many), measured(base, **many)).verdict == NO
    more = base + sign * 20  # above 0 on 100 images, but perhaps below the tolerance
    wide = judge(
        ordering(target, compare, tolerance=25.0), measured(more, **few), measured(base, **few)
    )
    assert wide.verdict == UNSURE and "does not exceed the tolerance clearly" in wide.unsure
    mean, low, high = judge(asked, measured(near, **few), measured(base, **few)).difference
    assert low < 0 < high and mean == pytest.approx((low + high) / 2, abs=1e-3)


def test_a_difference_that_equals_the_tolerance_is_not_above_it(target, measured):
    """In binary 99.4 - 99.3 is not 0.1, and neither is 0.3 - 0.2."""
    for more, less in [(99.4, 99.3), (0.3, 0.2)]:
        asked = ordering(target, tolerance=0.1)
        assert judge(asked, measured(more), measured(less)).verdict == NO
        kept = ordering(target, tolerance=0.1, note="Claim is no loss of accuracy: ...")
        assert judge(kept, measured(less), measured(more)).verdict == YES
        assert judge(kept, measured(less, less), measured(more, more)).verdict == YES


def test_equal_values_are_no_ordering(target, measured):
    assert judge(ordering(target), measured(50), measured(50)).verdict == NO
    assert judge(ordering(target), measured(50, 50), measured(50, 50)).verdict == NO


def test_no_loss_allows_the_tolerance(target, measured):
    asked = ordering(target, tolerance=0.5, note="Claim is no loss of accuracy: ...")
    assert judge(asked, measured(97.6), measured(98.0)).verdict == YES
    assert judge(asked, measured(97.4), measured(98.0)).verdict == NO
    assert judge(asked, measured(97.3, 97.5), measured(98.0, 98.2)).verdict == NO
    assert judge(asked, measured(97.3, 98.1), measured(98.0, 98.0)).verdict == YES
    assert judge(asked, measured(95.3, 98.1), measured(98.0, 98.0)).verdict == UNSURE


def test_an_ordering_waits_for_its_partner(target, measured):
    judged = judge(ordering(target), measured(50))
    assert (judged.verdict, judged.ours) == ("not run", 50)
    assert "saturating/b, which has not been run" in judged.note


def test_a_claimed_pattern_must_be_decided(target, measured):
    """Otherwise a forgotten `holds` would change the verdict on the claim."""
    for kind in ("claim", "derived"):
        for holds in ([None, None], [True, None]):
            with pytest.raises(ValueError, match="holds must be given for each seed"):
                judge(target(kind=kind), measured(1, 2, holds=holds))


def test_a_number_to_be_reported_has_no_verdict(target, measured):
    """Not even if we say whether a pattern holds that the paper does not state."""
    for holds in ([None, None], [True, False]):
        judged = judge(target(kind="none"), measured(1, 3, holds=holds))
        assert (judged.verdict, judged.ours, judged.seeds) == ("no printed number", 2, 2)


def test_other_profiles_claim_nothing_but_say_the_direction(target, measured):
    asked = target(compare="equal", printed=50.0, tolerance=1.0)
    for value, direction in [(50, "comparison holds"), (60, "does not hold; our result is above")]:
        judged = judge(asked, measured(value, profile="quick"))
        assert judged.verdict == "other setting" and direction in judged.note
    reduced = [measured(value, profile="reduced") for value in (60, 50)]
    assert judge(ordering(target), *reduced).verdict == "other setting"


def test_two_profiles_are_not_compared(target, measured):
    """8 images with one recipe and 200 images with another differ in more than the defense."""
    judged = judge(ordering(target), measured(60), measured(50, profile="reduced"))
    assert (judged.verdict, judged.difference) == ("not run", None)
    assert judged.note.endswith("saturating/b, which has not been run with profile paper")


def test_nothing_measured_is_not_run(target):
    judged = judge(target(compare="equal", printed=1.0), None)
    assert (judged.verdict, judged.ours, judged.seeds) == ("not run", None, None)


def test_another_unit_is_refused(target, measured):
    """0.97 as a fraction must never be compared with 97 percent."""
    with pytest.raises(ValueError, match="must be measured in percent, got fraction"):
        judge(target(compare="equal", printed=97.0), measured(0.97, unit="fraction"))


def test_a_value_that_nothing_was_drawn_for_has_no_seeds(target, measured):
    asked = target(compare="equal", printed=32.0, unit="count")
    judged = judge(asked, measured(32, unit="count", seeds=[None]))
    assert (judged.verdict, judged.seeds) == (YES, 0)


def test_an_order_is_paired_over_the_common_seeds(target, measured):
    """Seed 0 gives 60.5 and 60, and seed 1 only one of the two numbers: the difference is 0.5."""
    asked = target(compare="greater_than", printed=None, partner="saturating/other")
    judged = judge(asked, measured(60.5, 62.0), measured(60.0))
    assert judged.difference == (0.5, 0.5, 0.5) and "a single run" in judged.note


def test_an_experiment_that_differs_from_the_papers_is_not_judged(target, measured):
    """The direction of the comparison is still told, also if only the partner differs."""
    asked = target(compare="equal", printed=88.0)
    short = measured(60.0, differs="trained for 3 of 100 epochs")
    judged = judge(asked, short)
    assert judged.verdict == "other setting"
    assert judged.note.startswith("trained for 3 of 100 epochs; at this setting the comparison ")
    order = target(compare="greater_than", printed=None, partner="saturating/other")
    assert judge(order, measured(70.0), short).verdict == "other setting"
    assert judge(order, measured(70.0), measured(60.0)).verdict == YES


def test_the_interval_of_a_count_does_not_go_below_0(target, measured):
    asked = target(compare="at_most", printed=9.5, unit="count")
    judged = judge(asked, measured(3, 8, 13, unit="count"))
    assert judged.low == 0 and judged.high is not None and judged.high > 13
