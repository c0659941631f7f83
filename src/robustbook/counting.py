"""Write numbers of things as text."""


def number_of(noun: str, count: int) -> str:
    """Return a number of things as text, such as "1 test image" or "2,000 test images"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
