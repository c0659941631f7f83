"""Keep a network's buffers, such as the running statistics of batch norm, as they are while the
network is attacked or measured.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase


@contextlib.contextmanager
def unchanged(*models: object) -> Iterator[None]:
    """Return a context in which forward passes change neither the models' buffers nor torch's
    random state.

    A batch norm in training mode updates its running statistics, and dropout draws from torch's
    global generator. In this context, each model uses a copy of its buffers. At the end, torch's
    random state is restored, so two measurements in a row use the same dropout masks.
    """
    parts = {part for model in models for part in _modules(model)}
    tensors = (t for part in parts for t in (*part.parameters(False), *part.buffers(False)))
    devices = {t.device.index for t in tensors if t.is_cuda}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        devices.add(torch.cuda.current_device())
    with torch.random.fork_rng(sorted(devices)), _copied_buffers(parts):
        yield


@contextlib.contextmanager
def running_statistics(model: object) -> Iterator[None]:
    """Inside the context, let batch norm layers use their running statistics. All other layers keep
    their mode, and no buffer changes.
    """
    norms = [part for part in _modules(model) if isinstance(part, _NormBase) and part.training]
    for layer in norms:
        layer.training = False
    try:
        with batch_statistics(model):  # the buffers of all layers that are still in training mode
            yield
    finally:
        for layer in norms:
            layer.training = True


@contextlib.contextmanager
def batch_statistics(model: object) -> Iterator[None]:
    """Inside the context, let batch norm layers in training mode use the statistics of the batch,
    but keep their running statistics. No other buffer changes either.
    """
    with _copied_buffers(part for part in _modules(model) if part.training):
        yield


def updates_buffers(model: object) -> bool:
    """Return whether a forward pass may change buffers of the model: whether any of its modules has
    buffers and is in training mode.
    """
    return any(part.training and any(True for _ in part.buffers(False)) for part in _modules(model))


@contextlib.contextmanager
def _copied_buffers(parts: Any) -> Iterator[None]:
    """Inside the context, let the modules use copies of their own buffers."""
    kept = [
        (part, name, buffer) for part in parts for name, buffer in part.named_buffers("", False)
    ]
    try:
        with torch.inference_mode(False):
            for part, name, buffer in kept:
                setattr(part, name, buffer.clone())
        yield
    finally:
        for part, name, buffer in kept:
            setattr(part, name, buffer)


def _modules(model: object) -> Iterator[nn.Module]:
    yield from model.modules() if isinstance(model, nn.Module) else ()
