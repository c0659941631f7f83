"""Choose which statistics batch norm layers in training mode use while a network is attacked.

In both contexts the layers keep their running statistics, and their state is restored on exit.
"""

import contextlib
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.batchnorm import _NormBase


def training_norms(model: object) -> Iterator[_NormBase]:
    """Yield the batch norm layers of a network that are in training mode."""
    for layer in model.modules() if isinstance(model, nn.Module) else ():
        if isinstance(layer, _NormBase) and layer.training:
            yield layer


@contextlib.contextmanager
def running_statistics(model: object) -> Iterator[None]:
    """Let batch norm layers use their running statistics inside the context. All other layers keep
    their mode.
    """
    norms = list(training_norms(model))
    for layer in norms:
        layer.training = False
    try:
        yield
    finally:
        for layer in norms:
            layer.training = True


@contextlib.contextmanager
def batch_statistics(model: object) -> Iterator[None]:
    """Let batch norm layers in training mode use the statistics of the batch inside the context."""
    norms = [layer for layer in training_norms(model) if layer.track_running_stats]
    for layer in norms:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in norms:
            layer.track_running_stats = True
