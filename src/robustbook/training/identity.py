"""Compute what identifies a training run: a fingerprint of its data, a description of its
objective, and hashes of tensors.
"""

import functools
import hashlib
import json
import logging
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def fingerprint(images: Any, labels: Tensor) -> str:
    """Return the SHA-256 of images and labels, including their shapes and dtypes. Computing the
    hash takes about a second per gigabyte.

    For an image set that is read batch by batch, the hash covers the labels and the number of
    images. Of the images, it covers only the first, the middle and the last.
    """
    if isinstance(images, Tensor):
        return digest({"images": images, "labels": labels})
    few = images[torch.tensor([0, len(images) // 2, len(images) - 1])]
    return digest({"images": few, "labels": labels}, {"count": len(images)})


def digest(tensors: Mapping[str, Tensor], meta: Mapping[str, object] | None = None) -> str:
    """Return a SHA-256 hash. The hash covers ``meta`` as JSON, and the names, dtypes, shapes and
    contents of the tensors.
    """
    found = hashlib.sha256(json.dumps(meta, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(flat.view(torch.uint8).numpy().data)
    return found.hexdigest()


def described(thing: object, inside: tuple[int, ...] = (), module: str = "") -> Any:
    """Return a JSON description of a function or value. Two training objectives count as different
    if their descriptions differ.

    The description of a function contains its name, code (without the docstring), closure,
    defaults, partial arguments and the global variables that it uses. If one of these variables
    contains a function or a class of another module, the description has only the name of this
    function or class. A class of the function's own module is described by its attributes and
    methods.

    Plain data is returned unchanged. Tensors and arrays are described by a hash, networks by their
    layers, parameters and buffers, and loggers by their name. Any other object is described by its
    type and attributes. If the object's class is in the function's own module, the attributes and
    methods of the class are described too.

    ``inside``: the ids of the objects of which ``thing`` is a part.
    ``module``: the module of the function of which ``thing`` is a part.
    """
    if isinstance(thing, np.generic):
        thing = thing.item()
    if thing is None or isinstance(thing, bool | int | float | str):
        return thing
    if isinstance(thing, complex | bytes):
        return repr(thing)
    if isinstance(thing, Tensor):
        return digest({"": thing})
    if isinstance(thing, np.ndarray):
        return [str(thing.dtype), thing.shape, hashlib.sha256(thing.tobytes()).hexdigest()]
    if id(thing) in inside:
        return "itself"
    if isinstance(thing, functools.partial | FunctionType):
        function = thing.func if isinstance(thing, functools.partial) else thing
        module = getattr(function, "__module__", None) or module
    of = functools.partial(described, inside=(*inside, id(thing)), module=module)
    if isinstance(thing, functools.partial):
        return [of(thing.func), of(thing.args), of(thing.keywords)]
    if isinstance(thing, Mapping):
        return {str(key): of(value) for key, value in thing.items()}
    if isinstance(thing, Sequence):
        return [of(value) for value in thing]
    if isinstance(thing, Set):
        return sorted((of(value) for value in thing), key=json.dumps)
    if isinstance(thing, MethodType):
        return [of(thing.__func__), of(thing.__self__)]
    if isinstance(thing, CodeType):
        return [thing.co_code.hex(), of(thing.co_consts), of(thing.co_names)]
    name = f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"
    if isinstance(thing, FunctionType):
        around = [_content(cell) for cell in thing.__closure__ or ()]
        defaults = [thing.__defaults__, thing.__kwdefaults__]
        return [
            name,
            of(_without_docstring(thing)),
            of(around),
            of(defaults),
            of(_used_globals(thing)),
        ]
    if is_dataclass(thing) and not isinstance(thing, type):
        values = {field.name: of(getattr(thing, field.name)) for field in fields(thing)}
        return [type(thing).__qualname__, values]
    if isinstance(thing, nn.Module):
        tensors = [*thing.named_parameters(), *thing.named_buffers()]
        plain = [
            {name: value for name, value in vars(part).items() if not name.startswith("_")}
            for part in thing.modules()
        ]
        return [repr(thing), digest(dict(tensors)), of(plain)]
    if isinstance(thing, type) and thing.__module__ == module:
        return [name, of(_attributes(thing))]
    if hasattr(thing, "__qualname__"):  # a class of another module, or a function in C
        return name
    if isinstance(thing, logging.Logger):  # its attributes change while it is used
        return thing.name
    if not hasattr(thing, "__dict__"):  # the text shows the value, for example of a dtype or a path
        return [type(thing).__qualname__, re.sub(" at 0x[0-9a-f]+", "", repr(thing))]
    kind = of(type(thing)) if type(thing).__module__ == module else type(thing).__qualname__
    return [kind, of(vars(thing))]


def _without_docstring(function: FunctionType) -> CodeType:
    """Return the code of a function, in which None stands in place of the docstring."""
    code = function.__code__
    if function.__doc__ is None or code.co_consts[:1] != (function.__doc__,):
        return code
    return code.replace(co_consts=(None, *code.co_consts[1:]))


def _used_globals(function: FunctionType) -> dict[str, object]:
    """Return the global variables that a function uses, by name, except modules. A function or
    class of another module is replaced by its name; if the variable has the same name, the variable
    is left out.
    """
    codes, names = [function.__code__], set()
    while codes:
        one = codes.pop()
        names |= set(one.co_names)
        codes += [each for each in one.co_consts if isinstance(each, CodeType)]
    found: dict[str, object] = {}
    for name in sorted(names & function.__globals__.keys()):
        value = function.__globals__[name]
        if isinstance(value, ModuleType):
            continue
        code = isinstance(value, type | FunctionType | BuiltinFunctionType)
        if not code or value.__module__ == function.__module__:
            found[name] = value
        elif value.__name__ != name:
            found[name] = f"{value.__module__}.{value.__qualname__}"
    return found


def _attributes(thing: type) -> dict[str, object]:
    """Return the attributes and methods of a class, also those of its base classes in the same
    module.
    """
    own = [base for base in reversed(thing.__mro__) if base.__module__ == thing.__module__]
    found = {name: value for base in own for name, value in vars(base).items()}
    return {
        name: getattr(value, "__func__", value)  # the function of a static or class method
        for name, value in sorted(found.items())
        if isinstance(value, FunctionType) or not name.startswith("__")
    }


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Return the names of the entries in which the identities ``there`` and ``here`` of two
    training runs differ, with both values if these are short.
    """
    found = []
    for key in {**there, **here}:
        one, other = there.get(key), here.get(key)
        if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
            found += [f"{key} {words}" for words in differences(one, other)]
        elif json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True):
            both = f" ({one} there, {other} here)"
            found.append(key + (both if len(both) < 80 else ""))
    return found


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # empty cell
        return None
