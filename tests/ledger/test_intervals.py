import math

import numpy as np
import pytest
from scipy import stats

from robustbook.ledger import difference_interval, prediction_interval
from robustbook.ledger.intervals import (
    clearly_above,
    clearly_differ,
    clearly_ordered,
    share_difference,
)


def test_two_values_by_hand():
    """n = 2: t(0.975, 1) = 12.7062, s = sqrt(2), so half = 12.7062 * sqrt(2 * 1.5)."""
    low, high = prediction_interval([1.0, 3.0])
    half = 12.706204736 * math.sqrt(3)
    assert (low, high) == pytest.approx((2 - half, 2 + half))


def test_the_binomial_error_is_added():
    """Equal shares have no spread over seeds, so only 1.96 sqrt(p (1 - p) / k) remains."""
    half = 1.959963985 * math.sqrt(0.9 * 0.1 / 1600)
    expected = (0.9 - half, 0.9 + half)
    assert prediction_interval([0.9] * 3, unit="fraction", images=1600) == pytest.approx(expected)
    percent = prediction_interval([90.0] * 3, unit="percent", images=1600)
    assert percent == pytest.approx(tuple(100 * end for end in expected))
    # The images of a whole test set are not chosen.
    assert prediction_interval([0.9] * 3, unit="fraction", images=10_000) == (0.9, 0.9)


def test_shares_stay_in_their_range():
    assert prediction_interval([99.0, 95.0], unit="percent", images=100)[1] == 100
    assert prediction_interval([0.0, 0.3], unit="fraction", images=100)[0] == 0
    assert prediction_interval([99.0, 95.0], unit="percent")[1] > 100  # a gain, not a share


def test_one_run_is_its_own_interval():
    assert prediction_interval([90.0], unit="percent", images=100) == (90.0, 90.0)


def test_the_next_run_falls_inside_95_times_of_100():
    """With 4000 draws of (5 runs, 1 more), a share of 0.95 has standard error 0.0034; 4 are
    allowed.
    """
    draws = np.random.default_rng(7).normal(50.0, 3.0, (4000, 6))
    inside = 0
    for *runs, one_more in draws.tolist():
        low, high = prediction_interval(runs)
        inside += low <= one_more <= high
    assert abs(inside / 4000 - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)


def test_other_units_shift_and_scale_the_interval():
    values = [1.0, 2.0, 4.0]
    low, high = prediction_interval(values)
    moved = prediction_interval([10 - 3 * v for v in values])
    assert moved == pytest.approx((10 - 3 * high, 10 - 3 * low))


def test_differences_agree_with_scipy():
    a, b = [3.0, 4.5, 4.0, 6.0], [2.0, 2.5, 1.0, 3.5]
    paired = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert difference_interval(a, b, paired=True) == pytest.approx(tuple(paired))
    welch = stats.ttest_ind(a, b[:3], equal_var=False).confidence_interval(0.95)
    assert difference_interval(a, b[:3], paired=False) == pytest.approx(tuple(welch))


def test_differences_without_spread_are_points():
    assert difference_interval([2.0, 2.0], [1.0, 1.0, 1.0], paired=False) == (1.0, 1.0)
    assert difference_interval([2.0, 3.0], [1.0, 2.0], paired=True) == (1.0, 1.0)
    assert difference_interval([2.0], [1.0, 5.0], paired=False) == (-1.0, -1.0)


def test_a_difference_of_shares_by_hand():
    """Of 98 images 48 and of 48 images 9 are right. With one success and one failure more, these
    are 0.49 and 0.2, and the interval is 0.29 +- 1.96 sqrt(0.49 0.51 / 100 + 0.2 0.8 / 50).
    """
    half = 1.959963985 * math.sqrt(0.49 * 0.51 / 100 + 0.2 * 0.8 / 50)
    found = share_difference(100 * 48 / 98, 100 * 9 / 48, 98, 48)
    assert found == pytest.approx((29 - 100 * half, 29 + 100 * half))


def test_the_interval_of_a_difference_of_shares_covers_it():
    """Over all pairs of counts of 40 images, the coverage of the truth is near 95 %."""
    counts = np.arange(41)
    for p, q in ((0.5, 0.3), (0.9, 0.9), (0.05, 0.2)):
        chances = np.outer(stats.binom.pmf(counts, 40, p), stats.binom.pmf(counts, 40, q))
        ends = [[share_difference(2.5 * a, 2.5 * b, 40) for b in counts] for a in counts]
        low, high = np.moveaxis(np.array(ends), -1, 0)
        truth = 100 * (p - q)
        assert chances[(low <= truth) & (truth <= high)].sum() == pytest.approx(0.955, abs=0.02)


@pytest.mark.parametrize(
    ("first", "second", "images", "expected"),
    [
        (62.5, 12.5, 24, True),  # 15 and 3 of 24 images
        (62.5, 45.8, 24, False),
        (66.2, 64.7, 100, False),
        (12.5, 62.5, 24, False),  # the other way round
        (100.0, 87.5, 8, False),
        (0.0, 0.0, 10_000, False),
    ],
)
def test_two_shares_that_differ_clearly(first, second, images, expected):
    assert clearly_above(first, second, images) is expected
    either = expected or clearly_above(second, first, images)
    assert clearly_differ(first, second, images) is either
    assert clearly_ordered(first, second, images) is (first > second if either else None)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="at least one run, got none"):
        prediction_interval([])
    with pytest.raises(ValueError, match="images needs unit percent or fraction"):
        prediction_interval([1.0, 2.0], unit="ratio", images=10)


def test_the_interval_of_a_size_ends_at_0() -> None:
    """A size eps or a count below 0 does not exist; a ratio or a difference may be negative."""
    runs = [0.2, 0.3, 0.1]
    for unit, lowest in (("linf", 0.0), ("count", 0.0), ("ratio", -0.297)):
        assert prediction_interval(runs, unit=unit)[0] == pytest.approx(lowest, abs=0.001)
