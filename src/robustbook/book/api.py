"""Write the reference pages of the package: a page for each module, with all its public names, and
a list of the modules.
"""

import ast
import importlib
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import robustbook

LONGEST = 12
"""The value of a constant is cut after this number of lines."""
NOT_SHOWN = {"book", "cli"}
"""Modules without a reference page; prose pages describe the command line and how the book is
built.
"""


def parts() -> list[ModuleType]:
    """Return the modules and subpackages that list their public names in ``__all__``."""
    found = sorted(info.name for info in pkgutil.iter_modules(robustbook.__path__))
    modules = [
        importlib.import_module(f"robustbook.{name}") for name in found if name not in NOT_SHOWN
    ]
    return [module for module in modules if getattr(module, "__all__", None)]


def api_pages() -> dict[str, str]:
    """Return the reference page of each module as markdown, by the name of the module without that
    of the package.
    """
    return {short(module): "\n".join(_page(module)) for module in parts()}


def api_list() -> str:
    """Return a markdown table of the modules, with a link to the page and the purpose of each."""
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
    its signature and its docstring. Constants come last.
    """
    # A name of another module is no link: "judge" in attacks is not the function of ledger.
    links = {name: f"{{ref}}`{name} <{_label(module, name)}>`" for name in module.__all__}
    yield f"# {module.__name__}\n"
    yield from _prose(inspect.getdoc(module) or "", links)
    for name in sorted(module.__all__, key=lambda name: _kind(getattr(module, name)) == "constant"):
        thing = getattr(module, name)
        yield f"\n```{{index}} {name} ({module.__name__})\n```\n"
        yield f"({_label(module, name)})=\n## {name}\n"
        if _kind(thing) == "constant":
            value, words = _constant(module, name)
        else:
            value, words = _signature(name, thing), inspect.getdoc(thing) or ""
        yield _block(value, "python")
        parameters = set(re.findall(r"\b(\w+)\s*[:=]", value))
        others = {each: link for each, link in links.items() if each not in parameters | {name}}
        yield from _prose(words, others)


def _kind(thing: Any) -> str:
    """Return "class", "function" or "constant". A type alias counts as a constant."""
    if inspect.isclass(thing):
        return "class"
    return "function" if inspect.isroutine(inspect.unwrap(thing)) else "constant"


def _label(module: ModuleType, name: str) -> str:
    """Return the label of a name's section; it contains the kind, because labels do not distinguish
    `Noisy` from `noisy`.
    """
    return f"api-{short(module)}-{_kind(getattr(module, name))}-{name}".lower()


def _constant(module: ModuleType, name: str) -> tuple[str, str]:
    """Return the assignment of a constant: its source text, which is cut if it is long, and the
    string below it. If ``module`` imports the constant, the assignment is in another module.
    """
    source = inspect.getsource(module)
    body = ast.parse(source).body
    for node, below in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ImportFrom) and name in [each.name for each in node.names]:
            origin = "." * node.level + (node.module or "")
            return _constant(importlib.import_module(origin, module.__package__), name)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target) == name:
                lines = source.splitlines()[node.lineno - 1 : node.end_lineno]
                if len(lines) > LONGEST:
                    lines = [*lines[: LONGEST - 2], "    ...", lines[-1]]
                return "\n".join(lines), _string(below)
    raise ValueError(f"{module.__name__} must assign or import its public name {name!r}")


def _string(node: ast.stmt | None) -> str:
    """Return the text of a statement that is only a string, or ""."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return inspect.cleandoc(str(node.value.value))
    return ""


def _block(text: str, language: str) -> str:
    return f"````{language}\n{text}\n````\n"


def _prose(docstring: str, links: Mapping[str, str]) -> Iterator[str]:
    """Yield the paragraphs of a docstring as markdown. A name in single backticks becomes a link if
    ``links`` has one.

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
            words = re.sub(
                r"(?<!`)`(\w+)`(?!`)", lambda name: links.get(name[1], name[0]), paragraph
            )
            words = re.sub(r'(?<=[\s(])"([\w:/-]+)"', r'`"\1"`', words)  # else " becomes curly
            words = re.sub(r"^``\w+``(?:, ``\w+``)*: ", _unquoted, words, flags=re.MULTILINE)
            named = r"^([a-zA-Z_]\w*(?:, [a-zA-Z_]\w*)*): "
            yield re.sub(named, r"- `\1`: ", words, flags=re.MULTILINE) + "\n"


def _unquoted(names: re.Match[str]) -> str:
    return names[0].replace("``", "")


def _signature(name: str, thing: Any) -> str:
    """Return the signature of a class or function, as written in the source: for a function, all
    lines above the docstring; for a class, the first line, the public fields and the first lines of
    the constructor.
    """
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(thing)))
    except (TypeError, OSError):
        return f"{name}: {type(thing).__name__}"
    node = ast.parse(source).body[0]
    lines = source.splitlines()
    if isinstance(node, ast.ClassDef):
        shown = lines[node.lineno - 1 : node.body[0].lineno - 1]
        for part in node.body:
            if isinstance(part, ast.AnnAssign) and not ast.unparse(part.target).startswith("_"):
                field = "\n".join(lines[part.lineno - 1 : part.end_lineno])
                field = re.sub(r"= later\((.*)\)$", r"= \1", field)
                shown.append(field.replace("= field(default_factory=dict)", "= {}"))
            if isinstance(part, ast.FunctionDef) and part.name == "__init__":
                shown += _above_body(part, lines)
        return "\n".join(shown)
    return "\n".join(_above_body(node, lines)) if isinstance(node, ast.FunctionDef) else lines[0]


def _above_body(node: ast.FunctionDef, lines: list[str]) -> list[str]:
    return lines[node.lineno - 1 : node.body[0].lineno - 1]
