"""The page for teachers names every exercise of the first chapter, and no session is too long."""

import re
from pathlib import Path

import pytest


@pytest.fixture
def sessions(root: Path) -> list[str]:
    """Return the text of each session."""
    page = (root / "book" / "course.md").read_text(encoding="utf-8")
    return re.split(r"^##+ ", page.partition("## Questions")[0], flags=re.MULTILINE)[-7:]


def test_each_exercise_and_page_of_the_first_chapter_is_in_one_session(
    sessions: list[str], root: Path
) -> None:
    named = re.findall(r"\{ref\}`([^<]+?)\s+<(ex-[\w-]+)>`", " ".join("".join(sessions).split()))
    pages = sorted((root / "notebooks" / "basics").glob("*.md"))
    there = [
        exercise
        for page in pages
        for exercise in re.findall(r"\{exercise\} (.+)\n:label: (ex-[\w-]+)\n", page.read_text())
    ]
    assert len(there) > 10
    assert sorted(named) == sorted(there)
    shown = re.findall(r"basics/(\w+)\.ipynb", "".join(sessions))
    assert sorted(shown) == [page.stem for page in pages]


def test_the_exercises_of_a_session_take_an_hour(sessions: list[str]) -> None:
    """What is left for home does not count; where pages of papers are used, no number is given."""
    for number, text in enumerate(sessions, 1):
        assert text.startswith(f"{number}. ")
        in_class = re.sub(r"- \*At home\*.*?(?=\n- )", "", text, flags=re.DOTALL)
        minutes = sum(map(int, re.findall(r"\((\d+)\s+minutes\)", in_class)))
        assert minutes == 60 or (minutes == 0 and "20 minutes each" in in_class)
