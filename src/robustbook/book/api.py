"""Write the reference pages of the package. There is a page for each module, with all its public
names, and one page that lists the modules.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import robustbook

NOT_SHOWN = {"book", "cli"}
"""Modules without a reference page, because prose pages describe the command line and how the book
is built.
"""


def parts() -> list[ModuleType]:
    """Return the modules and subpackages that list their public names in ``__all__``."""
    found = sorted(info.name for info in pkgutil.iter_modules(robustbook.__path__))
    modules = [
        importlib.import_module(f"robustbook.{name}") for name in found if name not in NOT_SHOWN
    ]
    return [module for module in modules if getattr(module, "__all__", None)]


def api_pages() -> dict[str, str]:
    """Return a dict with the reference page of each module as markdown. The keys are the names of
    the modules without the name of the package.
    """
    return {short(module): "\n".join(_page(module)) for module in parts()}


def api_list() -> str:
    """Return a markdown table of the modules, with a link to each module's page and the module's
    purpose.
    """
    rows = [f"| [](api/{short(module)}.md) | {sentence(module)} |" for module in parts()]
    return "\n".join(["| module | what it is for |", "| --- | --- |", *rows, ""])


def short(module: ModuleType) -> str:
    """Return the name of a module without the name of the package."""
    return module.__name__.removeprefix("robustbook.")


def sentence(module: ModuleType) -> str:
    """Return the first sentence of a module's docstring, on one line."""
    paragraph = " ".join((inspect.getdoc(module) or "").partition("\n\n")[0].split())
    end = re.search(r"[.!?:](?= [A-Z]|$)", paragraph)
    return f"{paragraph[: end.start()]}." if end else f"{paragraph}."


def _page(module: ModuleType) -> Iterator[str]:
    """Yield the parts of a module's page: first the module's docstring, then for every public name
    its signature and its docstring.
    """
    yield f"# {module.__name__}\n"
    yield from _prose(inspect.getdoc(module) or "")
    for name in module.__all__:
        yield f"\n```{{index}} {name} ({module.__name__})\n```\n"
        yield f"## {name}\n"
        thing = getattr(module, name)
        yield _block(_signature(name, thing), "python")
        if inspect.isclass(thing) or callable(thing):
            yield from _prose(inspect.getdoc(thing) or "")


def _block(text: str, language: str) -> str:
    return f"````{language}\n{text}\n````\n"


def _prose(docstring: str) -> Iterator[str]:
    """Yield the paragraphs of a docstring as markdown.

    Lines of the form "name: text" or "``name``: text" become a list. An indented paragraph becomes
    a block that keeps its lines.
    """
    for paragraph in re.split(r"\n\s*\n", docstring):
        head, _, rest = paragraph.partition("\n")
        if head in ("Args:", "Returns:", "Raises:"):
            yield f"{head}\n"
            paragraph = textwrap.dedent(rest)
        if paragraph.startswith(" "):
            yield _block(textwrap.dedent(paragraph), "text")
        else:
            words = re.sub(r'(?<=[\s(])"([\w:/-]+)"', r'`"\1"`', paragraph)  # else " becomes curly
            words = re.sub(r"^``\w+``(?:, ``\w+``)*: ", _unquoted, words, flags=re.MULTILINE)
            named = r"^([a-zA-Z_]\w*(?:, [a-zA-Z_]\w*)*): "
            yield re.sub(named, r"- `\1`: ", words, flags=re.MULTILINE) + "\n"


def _unquoted(names: re.Match[str]) -> str:
    return names[0].replace("``", "")


def _signature(name: str, thing: Any) -> str:
    """Return the signature of a definition, as written in the source. For a function, the signature
    consists of all lines above the docstring. For a class, the signature consists of the first line
    and the fields.
    """
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(thing)))
    except (TypeError, OSError):
        return f"{name}: {type(thing).__name__}"
    node = ast.parse(source).body[0]
    lines = source.splitlines()
    if isinstance(node, ast.ClassDef):
        fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
        shown = [lines[part.lineno - 1] for part in fields]
        return "\n".join([*lines[node.lineno - 1 : node.body[0].lineno - 1], *shown])
    if isinstance(node, ast.FunctionDef):
        return "\n".join(lines[node.lineno - 1 : node.body[0].lineno - 1])
    return lines[0]
