"""A fingerprint of the source that a step reaches, to tell which stored results are stale.

From the step's function, names are followed to the module-level definitions they stand for, through
imports, inside one top-level package. What is hashed is their code without comments, docstrings and
layout. Names looked up at run time only (getattr with a computed name) are not seen: a step's
version, raised by hand, is what decides; this is the reminder.
"""

import ast
import hashlib
import importlib.util
import json
import sys
from functools import cache
from pathlib import Path

# The engine itself moves results about and changes none of them.
_ENGINE = __name__.rpartition(".")[0]
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@cache
def fingerprint(module: str, function: str) -> str:
    """SHA-256 over the code that `function` of `module` reaches; "" if its source is not there."""
    reached: dict[str, list[str]] = {}
    seen = set()
    pending = [(module, function)]
    while pending:
        place = pending.pop()
        if place in seen or f"{place[0]}.".startswith(f"{_ENGINE}."):
            continue
        seen.add(place)
        code, names = _definition(*place)
        if code:
            reached[":".join(place)] = code
        pending.extend(names)
    if not reached:
        return ""
    return hashlib.sha256(json.dumps(reached, sort_keys=True).encode()).hexdigest()


def _definition(module: str, name: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The code that defines a name in a module, and the (module, name) pairs it uses.

    The name "*" stands for everything in the module.
    """
    bound = _bindings(module)
    if name == "*":
        return [], [(module, other) for other in bound if other != "*"]
    if name not in bound:
        submodule = f"{module}.{name}"
        return [], [(submodule, "*")] if _bindings(submodule) else []
    code: list[str] = []
    used: list[tuple[str, str]] = []
    for statement in bound[name]:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            used += [place for alias, place in _imported(module, statement) if alias == name]
        else:
            code.append(ast.unparse(statement))
            used += _used(module, statement)
    return code, used


def _used(module: str, statement: ast.stmt) -> list[tuple[str, str]]:
    """What a definition uses: names of its module, attributes of modules, its own imports."""
    places = []
    whole = set()
    attributes = []
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            attributes.append((node.value.id, node.attr))
        elif isinstance(node, ast.Name):
            whole.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            places += [place for _, place in _imported(module, node)]
    known = _bindings(module)
    for name, attribute in attributes:
        # `networks.mlp`, with `networks` a module, uses mlp and not all of networks.
        inside = [p for s in known.get(name, []) for p in _submodule(module, name, s)]
        places += [(m, attribute) for m in inside]
        if inside:
            whole.discard(name)
    return places + [(module, name) for name in sorted(whole) if name in known]


def _submodule(module: str, name: str, statement: ast.stmt) -> list[str]:
    """The module for which an imported name stands; empty if it stands for something else."""
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return []
    if isinstance(statement, ast.Import) and not any(a.asname == name for a in statement.names):
        return []  # `import a.b` binds a, and what follows a is not looked at: all of a.b it is
    places = [place for alias, place in _imported(module, statement) if alias == name]
    whole = [m for m, n in places if n == "*"]
    return whole + [f"{m}.{n}" for m, n in places if n not in _bindings(m) and n != "*"]


def _imported(module: str, node: ast.Import | ast.ImportFrom) -> list[tuple[str, tuple[str, str]]]:
    """The names an import binds, each with the (module, name) it stands for.

    Without those of other packages: they are not followed.
    """
    package = module.partition(".")[0]
    if isinstance(node, ast.Import):
        inside = [a for a in node.names if a.name.partition(".")[0] == package]
        return [(a.asname or package, (a.name, "*")) for a in inside]
    origin = node.module or ""
    if node.level:
        is_package = _file(module) is not None and str(_file(module)).endswith("__init__.py")
        parts = module.split(".")
        base = parts[: len(parts) - node.level + is_package]
        origin = ".".join(base + ([node.module] if node.module else []))
    if origin.partition(".")[0] != package:
        return []
    return [(a.asname or a.name, (origin, a.name)) for a in node.names]


@cache
def _bindings(module: str) -> dict[str, list[ast.stmt]]:
    """The module's top-level statements by the names they bind; empty if there is no source."""
    path = _file(module)
    if path is None:
        return {}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, _DEFINITIONS) and len(node.body) > 1 and ast.get_docstring(node):
            del node.body[0]
    bound: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _names(statement):
            bound.setdefault(name, []).append(statement)
    return bound


def _names(statement: ast.stmt) -> list[str]:
    """The names a top-level statement binds, those inside an `if` or `try` included."""
    if isinstance(statement, _DEFINITIONS):
        return [statement.name]
    found: dict[str, None] = {}
    for node in ast.walk(statement):
        if isinstance(node, _DEFINITIONS):
            found[node.name] = None
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {a.asname or a.name.partition(".")[0]: None for a in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found[node.id] = None
    return list(found)


@cache
def _file(module: str) -> Path | None:
    """The module's source file, or None."""
    origin = getattr(sys.modules.get(module), "__file__", None)
    if origin is None and module not in sys.modules:
        try:
            spec = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            spec = None
        origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None
