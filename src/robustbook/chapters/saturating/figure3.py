"""What the page of Figure 3 shows beside that of Figure 7 (`dissimilarity`)."""

from robustbook.chapters.published import values
from robustbook.ledger import Record


def collapsed(record: Record) -> str:
    """In how many saturated networks the read-out answers all images alike."""
    apart = values(record, "between", method="saturated", layer="3")
    return (
        f"This happened in {sum(value < 1e-6 for value in apart)} of {len(apart)} saturated "
        "networks here; it is what the range of the row *saturated, layer 3* is about."
    )
