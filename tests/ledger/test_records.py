import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from robustbook.ledger import (
    Record,
    Row,
    read_record,
    read_records,
    read_targets,
    rounded,
    write_record,
)

RECORD = Record(
    paper="saturating",
    item="text-4.3",
    profile="paper",
    parameters={"eps": 0.25, "network": "cnn", "clip": True, "widths": [200, 200]},
    seeds=(0, 1),
    rows=(
        Row(97.6, "percent", target="saturating/a", seed=0, images=10000),
        Row(0.0, "percent", target="saturating/a", seed=1, images=10000, holds=False),
        Row(12.5, "percent", name="random signs", seed=0, setting={"clip": False, "eps": 0.25}),
        Row(14728266, "count", target="saturating/b"),
    ),
    arrays={"grid": [[1, 2], [3, 4]], "names": ["x", "y"], "scale": 0.5},
    provenance={"device": "cpu", "seconds": 12.5},
)


def test_what_is_written_is_read_back(tmp_path):
    path = write_record(RECORD, tmp_path)
    assert path == tmp_path / "saturating" / "text-4.3.paper.json"
    assert read_record(path) == RECORD
    assert read_records(tmp_path) == (RECORD,)


def test_the_same_record_is_the_same_bytes(tmp_path):
    """A record with another order of keys must not show up in a diff."""
    path = write_record(RECORD, tmp_path)
    before = path.read_bytes()
    shuffled = replace(
        RECORD,
        parameters=dict(reversed(RECORD.parameters.items())),
        arrays=dict(reversed(RECORD.arrays.items())),
    )
    write_record(shuffled, tmp_path)
    assert path.read_bytes() == before
    write_record(read_record(path), tmp_path)
    assert path.read_bytes() == before


def test_one_changed_value_is_one_changed_line(tmp_path):
    before = write_record(RECORD, tmp_path).read_text().splitlines()
    rows = (replace(RECORD.rows[0], value=97.7), *RECORD.rows[1:])
    after = write_record(replace(RECORD, rows=rows), tmp_path).read_text().splitlines()
    assert len(before) == len(after)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_keys_are_sorted(tmp_path):
    fields = json.loads(write_record(RECORD, tmp_path).read_text())
    for mapping in (fields, fields["parameters"], fields["arrays"], *fields["rows"]):
        assert list(mapping) == sorted(mapping)


def test_rounding_keeps_six_digits_and_whole_numbers_in_full():
    """14728266 parameters are compared with tolerance 0; six digits would change the number."""
    assert rounded(14728266.0) == 14728266
    assert rounded(97.123456789) == 97.1235
    assert rounded(1 / 3e9) == 3.33333e-10
    assert rounded(-0.0) == 0
    assert repr(rounded(7.000000000000001)) == repr(rounded(7.0)) == "7"


def test_every_printed_number_survives_rounding(book):
    """A measured value that equals the printed one must equal it in the record too."""
    for target in read_targets(book / "targets").values():
        if target.printed is not None:
            assert rounded(target.printed) == target.printed


def test_arrays_become_lists_and_missing_values_nan(tmp_path):
    arrays = {"curve": np.array([[1.0, np.nan], [1 / 3, 2.0]]), "found": np.array([True, False])}
    path = write_record(replace(RECORD, arrays=arrays), tmp_path)
    assert '  "curve": [[1, null], [0.333333, 2]]' in path.read_text()
    back = read_record(path).arrays
    assert back["found"] == [True, False]
    np.testing.assert_array_equal(back["curve"], [[1, math.nan], [0.333333, 2]])


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_row_without_a_number_is_refused(value):
    with pytest.raises(ValueError, match="value of saturating/a must be a finite number, got"):
        Row(value, "percent", target="saturating/a")


def test_an_infinite_array_is_refused_and_leaves_no_file(tmp_path):
    """A partly written record must never be found."""
    with pytest.raises(ValueError, match="finite numbers, or NaN for no value, got inf"):
        write_record(replace(RECORD, arrays={"a": [math.inf]}), tmp_path)
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": None}, "a row needs a target or a name"),
        ({"images": 0}, "images of saturating/a must be 1 or more"),
        ({"images": 10, "value": 101.0}, "got 10 with 101.0 percent"),
        ({"images": 10, "value": -0.1}, "got 10 with -0.1 percent"),
        ({"images": 10, "unit": "ratio"}, "got 10 with 97.6 ratio"),
        ({"images": 10, "unit": "fraction"}, "got 10 with 97.6 fraction"),
    ],
)
def test_rows_at_fault_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(RECORD.rows[0], **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"profile": "published"}, "profile must be one of .* got 'published'"),
        ({"seeds": (0,)}, r"seed of saturating/a must be one of \(0,\), got 1"),
        ({"rows": RECORD.rows[:1] * 2}, "saturating/a has two rows for seed 0"),
        (
            {"rows": (Row(1.0, "percent", name="steps", seed=0),) * 2},
            "steps.* has two rows for seed 0",
        ),
    ],
)
def test_records_at_fault_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(RECORD, **change)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no valid record"),
        ("[]", "is no valid record"),
        ('{"paper": "saturating"', "is no valid record"),
        ('{"paper": "saturating"}', r"is no valid record \(item: Field required\)"),
    ],
)
def test_a_damaged_file_is_named_with_the_cure(tmp_path, text, message):
    path = tmp_path / "saturating" / "table-1.paper.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_record(path)
    assert str(path) in str(error.value)
    assert "restore it from git" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"value": 97.6', '"value": "97.6"', r"rows.0.value"),
        ('"value": 97.6', '"value": NaN', r"value of saturating/a must be a finite|rows.0.value"),
        ('"seed": 1', '"seed": 2', r"must be one of \(0, 1\), got 2"),
        ('"holds": false', '"hold": false', r"rows.1.hold: Unexpected"),
        ('"profile": "paper"', '"profile": "quick"', "holds the record of .* with profile quick"),
    ],
)
def test_an_altered_file_is_refused(tmp_path, old, new, message):
    path = write_record(RECORD, tmp_path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=message):
        read_record(path)


def test_no_folder_means_no_records(tmp_path):
    assert read_records(tmp_path / "records") == ()


def test_killed_while_writing_leaves_the_old_or_the_new_record(tmp_path):
    """A writer that is killed at any point must leave a valid record."""
    path = write_record(RECORD, tmp_path)
    code = (
        "import sys; from pathlib import Path; from dataclasses import replace\n"
        "from robustbook.ledger import read_record, write_record\n"
        "record = read_record(Path(sys.argv[1])); print(flush=True)\n"
        "big, folder = replace(record, arrays={'a': list(range(5_000))}), Path(sys.argv[2])\n"
        "while True: write_record(big, folder); write_record(record, folder)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(tmp_path)], stdout=subprocess.PIPE
    )
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        for _ in range(20):
            assert read_record(path).rows == RECORD.rows
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
    assert read_record(path).rows == RECORD.rows
    assert read_records(tmp_path) == (
        read_record(path),
    )  # what the killed writer left is no record
