"""Compare the numbers of the papers with our measurements, and give a verdict on each number."""

from .build import Entry, Ledger, build, read_reasons
from .claims import STATUSES, Claim, read_claims, sides, status
from .intervals import WHOLE, difference_interval, prediction_interval
from .numerals import measured, runs_in_words
from .records import (
    PROFILES,
    Conflict,
    Record,
    Row,
    read_record,
    read_records,
    record_path,
    rounded,
    write_record,
)
from .tables import TITLES, counts, tallies, text_table
from .targets import PAPERS, TALLIES, Target, read_targets
from .verdicts import VERDICTS, Judgement, Measurement, judge
from .webpage import page_html
from .words import outcome, quantity, stated

__all__ = [
    "PAPERS",
    "PROFILES",
    "STATUSES",
    "TALLIES",
    "TITLES",
    "VERDICTS",
    "WHOLE",
    "Claim",
    "Conflict",
    "Entry",
    "Judgement",
    "Ledger",
    "Measurement",
    "Record",
    "Row",
    "Target",
    "build",
    "counts",
    "tallies",
    "difference_interval",
    "judge",
    "measured",
    "outcome",
    "page_html",
    "quantity",
    "prediction_interval",
    "read_claims",
    "read_reasons",
    "read_record",
    "read_records",
    "read_targets",
    "record_path",
    "rounded",
    "runs_in_words",
    "stated",
    "sides",
    "status",
    "text_table",
    "write_record",
]
