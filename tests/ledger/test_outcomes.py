"""Tests of outcomes per image, and of the comparison of two shares of the same images."""

import math

import numpy as np
import pytest
import torch

from robustbook.ledger import Measurement, Row, judge
from robustbook.ledger.intervals import share_difference
from robustbook.ledger.outcomes import packed, paired_error, unpacked
from robustbook.ledger.records import Conflict, Record, compare, merge, read_record, write_record
from robustbook.studies.rows import share_row


@pytest.mark.parametrize("images", range(1, 33))
def test_outcomes_survive_packing(images):
    each = np.random.default_rng(images).random(images) < 0.5
    assert unpacked(packed(each), images).tolist() == each.tolist()


def test_a_bit_per_image():
    assert len(packed([True] * 1200)) == 1200 // 8 * 4 // 3


@pytest.mark.parametrize(("text", "images"), [("gA==", 9), ("gIA=", 8), ("?", 8), ("gA", 8)])
def test_outcomes_of_the_wrong_length_are_refused(text, images):
    with pytest.raises(ValueError):
        unpacked(text, images)


def test_the_interval_of_one_run_is_that_of_agresti_and_min():
    first = [1] * 30 + [1] * 12 + [0] * 5 + [0] * 53
    second = [1] * 30 + [0] * 12 + [1] * 5 + [0] * 53
    b, c, n = 12.5, 5.5, 102
    expected = 1.959964 * math.sqrt((b + c) - (b - c) ** 2 / n) / n
    assert paired_error([first], [second]) == pytest.approx(100 * expected, rel=1e-6)


def test_equal_outcomes_have_an_interval_above_0():
    assert 0 < paired_error([[1, 0, 1]], [[1, 0, 1]]) < 100


def test_the_order_of_the_images_and_of_the_two_shares_does_not_matter():
    first, second = np.random.default_rng(0).random((2, 3, 40)) < 0.6
    order = np.random.default_rng(1).permutation(40)
    error = paired_error(first, second)
    assert paired_error(second, first) == pytest.approx(error)
    assert paired_error(first[:, order], second[:, order]) == pytest.approx(error)


def test_without_correlation_the_error_is_that_of_independent_shares():
    first, second = np.random.default_rng(0).random((2, 5000)) < [[0.6], [0.5]]
    low, high = share_difference(100 * first.mean(), 100 * second.mean(), 5000)
    assert paired_error([first], [second]) == pytest.approx((high - low) / 2, rel=0.05)


def test_the_error_covers_the_true_difference():
    """In about 95 of 100 samples the interval contains the difference of the two probabilities."""
    rng, hits = np.random.default_rng(0), 0
    for _ in range(400):
        common = rng.random(200)  # an image that is hard for one network is hard for the other
        first, second = common < 0.7, (common + 0.1 * rng.standard_normal(200)) < 0.6
        half = paired_error([first], [second])
        truth = 10.0  # shifts near 0 and 1 do not reach the threshold 0.6
        hits += abs(100 * (first.mean() - second.mean()) - truth) <= half
    assert 0.92 <= hits / 400 <= 0.98


def test_the_mean_over_runs_is_taken_for_each_image():
    """Two runs that differ in opposite images have no difference that the images could change."""
    first = [[1, 0] * 50, [0, 1] * 50]
    second = [[0, 1] * 50, [1, 0] * 50]
    assert paired_error(first, second) == pytest.approx(paired_error([[1] * 100], [[1] * 100]))


def test_a_row_refuses_outcomes_that_do_not_give_its_value():
    with pytest.raises(ValueError, match="outcomes of accuracy must have the share 60 percent"):
        Row(60, "percent", None, "accuracy", 0, 4, outcomes=packed([1, 0, 1, 0]))
    with pytest.raises(ValueError, match="outcomes"):
        Row(50, "percent", None, "accuracy", 0, None, outcomes=packed([1, 0, 1, 0]))


def test_a_share_row_keeps_the_outcomes_of_a_part_of_the_test_set():
    right = torch.arange(300) % 3 == 0
    row = share_row(right, None, "accuracy", 0)
    assert (row.value, row.images) == (pytest.approx(100 / 3), 300)
    assert row.each.tolist() == right.tolist()
    assert share_row(torch.ones(10_000, dtype=torch.bool), None, "accuracy", 0).outcomes == ""


def _record(*rows):
    return Record("saturating", "table-1", "paper", {}, (0,), rows)


def test_outcomes_survive_a_file(tmp_path):
    row = share_row(torch.arange(20) % 3 == 0, None, "accuracy", 0)
    assert read_record(write_record(_record(row), tmp_path)).rows == (
        Row(35, "percent", None, "accuracy", 0, 20, outcomes=row.outcomes),
    )


def test_merging_keeps_outcomes_of_either_record():
    full = share_row(torch.tensor([True, False]), None, "accuracy", 0)
    bare = Row(50, "percent", None, "accuracy", 0, 2)
    other = share_row(torch.tensor([False, True]), None, "accuracy", 0)
    for pair in ((full, bare), (bare, full)):
        rows, _ = merge(*map(_record, pair))
        assert rows == (full,)
    with pytest.raises(Conflict):
        compare(_record(full), _record(other))


def _measured(id_, each):
    rows = tuple(share_row(torch.tensor(e), id_, "", seed) for seed, e in enumerate(each))
    return Measurement("table-1", "paper", rows)


def test_an_ordering_is_decided_in_pairs(target):
    """The first network is right on six images more, and on no image fewer. As independent
    samples, 56 and 50 of 100 images leave the order open.
    """
    order = target(compare="greater_than", partner="b")
    first, second = [i < 56 for i in range(100)], [i < 50 for i in range(100)]
    paired = judge(order, _measured("a", [first]), _measured("b", [second]))
    bare = [
        Measurement("table-1", "paper", (Row(value, "percent", "a", "", 0, 100),))
        for value in (56, 50)
    ]
    assert paired.verdict == "reproduced"
    assert paired.difference is not None
    assert paired.difference[0] == 6
    assert judge(order, *bare).verdict == "inconclusive"


def test_an_ordering_of_different_numbers_of_images_is_not_paired(target):
    order = target(compare="greater_than", partner="b")
    first, second = [i < 56 for i in range(100)], [i < 100 for i in range(200)]
    assert judge(order, _measured("a", [first]), _measured("b", [second])).verdict == "inconclusive"
