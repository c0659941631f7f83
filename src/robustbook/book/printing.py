"""Print each chapter of the built book to one PDF, with the browser Chromium.

From a shell: ``python -m robustbook.book.printing``, or ``make print``.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from playwright.sync_api import Browser

from robustbook.notebooks import ROOT, contents

from . import browser

START, END = '<article class="bd-article"', "</article>"
FOOTER = (
    '<div style="width: 100%; font-size: 8px; text-align: center;">'
    '<span class="pageNumber"></span></div>'
)
REFERENCES = "book/bibliography"
# Make ids unique, because several pages may use the same one, and let links between pages point
# into the PDF, which should contain no addresses of this machine.
OWN_LINKS = """() => {
  const articles = [...document.querySelectorAll("article[data-page]")];
  const pages = new Set(articles.map((article) => article.dataset.page));
  for (const article of articles) {
    const own = article.dataset.page;
    for (const part of article.querySelectorAll("[id]")) part.id = `${own}--${part.id}`;
    for (const link of article.querySelectorAll("a[href]")) {
      if (link.origin !== location.origin) continue;
      const here = link.getAttribute("href").startsWith("#");
      const page = here ? own : link.pathname.slice(1).replace(/\\.html$/, "");
      if (!pages.has(page)) link.removeAttribute("href");
      else link.setAttribute("href", link.hash ? `#${page}--${link.hash.slice(1)}` : `#${page}`);
    }
  }
}"""


def chapters(names: Iterable[str]) -> dict[str, list[str]]:
    """Return the pages of each chapter (a folder of notebooks) in their order.

    ``names``: notebooks as in the table of contents, such as "basics/one_gradient".
    """
    found: dict[str, list[str]] = {}
    for name in names:
        folder, _, page = name.rpartition("/")
        if folder:
            found.setdefault(folder, []).append(page)
    return found


def joined(pages: Sequence[tuple[str, str]]) -> str:
    """Return the first of several HTML pages, with the articles of the others added to it.

    ``pages``: the name and the HTML of each page, such as "notebooks/basics/verdicts".
    """
    articles = []
    for name, html in pages:
        article = html[html.index(START) : html.rindex(END) + len(END)]
        articles.append(article.replace(START, f'{START} id="{name}" data-page="{name}"', 1))
    first = pages[0][1]
    return "\n".join(
        [first[: first.index(START)], *articles, first[first.rindex(END) + len(END) :]]
    )


def print_chapter(chromium: Browser, address: str, html: Path, chapter: str, out: Path) -> None:
    """Write one PDF with all pages of a chapter and the book's bibliography.

    ``address``: the web address at which the folder ``html`` is served.
    ``chapter``: the name of the chapter's folder below "notebooks".
    """
    folder = f"notebooks/{chapter}"
    names = [f"{folder}/{page}" for page in chapters(contents(ROOT))[chapter]]
    whole = joined(
        [
            (name, (html / f"{name}.html").read_text(encoding="utf-8"))
            for name in [*names, REFERENCES]
        ]
    )
    page = chromium.new_page(color_scheme="light")
    place = f"{address}{folder}/all-pages.html"  # no file; images are resolved relative to it
    page.route(place, lambda route: route.fulfill(body=whole, content_type="text/html"))
    page.goto(place, timeout=300_000)
    page.evaluate("window.MathJax?.startup?.promise.then(() => null)")
    page.evaluate(OWN_LINKS)
    out.parent.mkdir(parents=True, exist_ok=True)
    page.pdf(
        path=out,
        prefer_css_page_size=True,
        print_background=True,
        display_header_footer=True,
        header_template="<span></span>",
        footer_template=FOOTER,
        outline=True,
        tagged=True,
    )
    page.close()


@click.command()
def main() -> None:
    """Print each chapter of the built book to _build/print."""
    html = ROOT / "_build" / "html"
    if not (html / "index.html").exists():
        raise click.ClickException("there is no built book: run `make book` first")
    if browser.program() is None:
        raise click.ClickException(
            "Chromium is missing: on Debian and Ubuntu, apt install chromium"
        )
    with browser.served(html) as address, browser.chromium() as chromium:
        for chapter in chapters(contents(ROOT)):
            out = ROOT / "_build" / "print" / f"{chapter}.pdf"
            print_chapter(chromium, address, html, chapter, out)
            click.echo(f"{out.relative_to(ROOT)}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
