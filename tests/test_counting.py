"""Numbers of things as text."""

import pytest

from robustbook.counting import number_of


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (2000, "2,000 images")]
)
def test_a_noun_follows_its_number(count: int, text: str) -> None:
    assert number_of("image", count) == text
