"""Compute a hash (fingerprint) of the source code that a function uses, to detect stored results of
older code.

The hash covers the code of the function, and all code of the same top-level package that this
function uses directly or indirectly, except the code of `robustbook.runs`. Comments, docstrings and
layout do not change the hash. It does not cover code whose name is computed at run time, for
example for getattr. So the fingerprint is only a hint that stored results are stale (computed by
older code). Stale results are used until the version number of the function is increased by hand.
"""

import ast
import hashlib
import importlib.util
import json
import sys
from functools import cache
from pathlib import Path

# The engine is excluded, because it stores and loads results without changing them.
_ENGINE = __name__.rpartition(".")[0]
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@cache
def fingerprint(module: str, function: str) -> str:
    """Return the SHA-256 of the code that `function` of `module` uses; "" if there is no source."""
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
    """Return the code that defines a name in a module, and the names that this code uses, as pairs
    (module, name).

    The name "*" means everything in the module.
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
    """Return all names that a definition uses, as pairs (module, name). A used name can come from
    the definition's own module, from another module (as an attribute), or from a local import.
    """
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
        # If `networks` is a module, `networks.mlp` uses only mlp and not the whole module.
        inside = [p for s in known.get(name, []) for p in _submodule(module, name, s)]
        places += [(m, attribute) for m in inside]
        if inside:
            whole.discard(name)
    return places + [(module, name) for name in sorted(whole) if name in known]


def _submodule(module: str, name: str, statement: ast.stmt) -> list[str]:
    """Return a list with the module to which an imported name refers. The list is empty if the name
    does not refer to a module.
    """
    if not isinstance(statement, ast.Import | ast.ImportFrom):
        return []
    if isinstance(statement, ast.Import) and not any(a.asname == name for a in statement.names):
        return []  # `import a.b` binds a; all of a.b counts as used
    places = [place for alias, place in _imported(module, statement) if alias == name]
    whole = [m for m, n in places if n == "*"]
    return whole + [f"{m}.{n}" for m, n in places if n not in _bindings(m) and n != "*"]


def _imported(module: str, node: ast.Import | ast.ImportFrom) -> list[tuple[str, tuple[str, str]]]:
    """Return a pair (name, place) for each name that an import statement defines. The place is the
    pair (module, name) to which the imported name refers.

    Names that are imported from other packages, such as torch, are omitted.
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
    """Return a dict with one entry for each name that a module defines at its top level: the
    statements that define the name. The dict is empty if the module has no source code.
    """
    path = _file(module)
    if path is None:
        return {}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, _DEFINITIONS):
            # Remove all docstrings, also those of fields; a body that has only a docstring becomes
            # `pass`.
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    bound: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        for name in _names(statement):
            bound.setdefault(name, []).append(statement)
    return bound


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _names(statement: ast.stmt) -> list[str]:
    """Return the names that a top-level statement defines, also inside an `if` or `try`."""
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
    """Return the path of a module's source file, or None if there is none."""
    origin = getattr(sys.modules.get(module), "__file__", None)
    if origin is None and module not in sys.modules:
        try:
            spec = importlib.util.find_spec(module)
        except ModuleNotFoundError:
            spec = None
        origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None
