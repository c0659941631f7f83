"""Say on how many test images and with how many seeds the survey's numbers were measured."""

from typing import Any

from robustbook.ledger import Record


def tested(record: Record, name: str, /, **setting: Any) -> int:
    """Return the number of test images behind a measurement in a record (a file of stored
    results).

    A row of the record is used if it has the given ``name`` and the given labels (``setting``). If
    the rows have different numbers of images, the function returns the smallest number. Raise
    ValueError if no row states a number of images.
    """
    found = [
        row.images
        for row in record.rows
        if row.name == name
        and row.images
        and all(row.setting.get(k) == v for k, v in setting.items())
    ]
    if not found:
        raise ValueError(f"the record of {record.item} has no images for {name} with {setting}")
    return min(found)


def with_images(words: str, images: int) -> str:
    """Return the heading of a column or the name of a curve, with the number of test images."""
    return f"{words} ({images:,} images)"


def ranges(record: Record) -> str:
    """Return the words with which a caption explains a range, or "" if the record has one seed and
    so no range.
    """
    return " (range over the seeds)" if len(record.seeds) > 1 else ""
