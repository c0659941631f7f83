"""The book without a mouse: what can be clicked is reached by Tab and used by keys."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    page = context.new_page()
    page.set_default_timeout(10_000)
    yield page
    page.close()


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(300):
        page.keyboard.press("Tab")
        if page.evaluate("s => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_the_filters_of_the_ledger(page: Page, address: str) -> None:
    """A choice filters the rows, a word filters them further, and a button shows all again."""
    page.goto(f"{address}book/ledger.html")
    rows = page.locator(".ledger tbody tr:visible")
    everything = rows.count()
    tab_to(page, ".ledger select[name=paper]")
    page.keyboard.press("ArrowDown")
    paper = page.locator("select[name=paper]").input_value()
    chosen = rows.count()
    assert 0 < chosen < everything
    assert set(rows.evaluate_all("rows => rows.map((row) => row.dataset.paper)")) == {paper}
    tab_to(page, ".ledger input[name=text]")
    page.keyboard.type("accuracy")
    assert 0 < rows.count() < chosen
    expect(page.locator(".ledger output")).to_have_text(f"{rows.count()} of {everything} targets")
    tab_to(page, ".ledger button[type=reset]")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(everything)
    tab_to(page, ".ledger-scroll")  # the table scrolls by arrow keys once it has the focus
    page.keyboard.press("PageDown")
    page.wait_for_function("document.querySelector('.ledger-scroll').scrollTop > 0")


def test_the_search(page: Page, address: str) -> None:
    """Ctrl+K opens the search; Tab and Enter open a page that was found."""
    page.goto(f"{address}book/intro.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("DeepFool")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=DeepFool*")
    found = page.locator("#search-results li a")
    found.first.wait_for()
    tab_to(page, "#search-results li a")
    target = page.evaluate("document.activeElement.pathname")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{target}*")
    assert "DeepFool" in page.locator(".bd-article").inner_text()


def test_the_slider(page: Page, address: str) -> None:
    """The arrow keys show another frame, and say its value."""
    page.goto(f"{address}notebooks/basics/one_gradient.html")
    frame = page.locator(".frames .frame:visible")
    assert frame.count() == 1
    before = frame.get_attribute("data-value")
    tab_to(page, ".frames input[type=range]")
    page.keyboard.press("ArrowRight")
    after = frame.get_attribute("data-value")
    assert after != before
    assert page.locator(".frames output").inner_text() == after
    assert page.locator(".frames input").get_attribute("aria-valuetext") == after
    page.keyboard.press("ArrowLeft")
    assert frame.get_attribute("data-value") == before


def test_a_hidden_solution(page: Page, address: str) -> None:
    """Enter shows the solution of an exercise and hides it again."""
    page.goto(f"{address}notebooks/basics/one_gradient.html")
    solution = page.locator(".solution.toggle").first
    inside = solution.locator("> :not(.admonition-title, button)").first
    assert not inside.is_visible()
    tab_to(page, ".solution.toggle button.toggle-button")
    page.keyboard.press("Enter")
    inside.wait_for(state="visible")
    page.keyboard.press("Enter")
    inside.wait_for(state="hidden")


@pytest.mark.parametrize("name", ["notebooks/saturating/table1", "notebooks/benchmarks"])
def test_a_dropdown(page: Page, address: str, name: str) -> None:
    """Enter opens the first closed part of a page."""
    page.goto(f"{address}{name}.html")
    details = page.locator(".bd-article details:not([open])").first
    first = details.element_handle()
    assert first is not None
    tab_to(page, ".bd-article details:not([open]) > summary")
    page.keyboard.press("Enter")
    assert first.evaluate("box => box.open && box === document.activeElement.parentElement")


def test_the_theme_and_the_menu_of_a_phone(page: Page, address: str) -> None:
    """The button of the theme changes the theme; on a phone a button opens the contents."""
    page.goto(f"{address}book/run.html")
    themes = []
    tab_to(page, "button.theme-switch-button")
    for _ in range(3):
        page.keyboard.press("Enter")
        themes.append(page.evaluate("document.documentElement.dataset.theme"))
    assert set(themes) == {"light", "dark"}
    page.set_viewport_size({"width": 400, "height": 800})
    menu = page.locator(".bd-sidebar-primary nav.bd-links")
    expect(menu).not_to_be_in_viewport()
    tab_to(page, "button.primary-toggle")
    page.keyboard.press("Enter")
    expect(menu).to_be_in_viewport()
