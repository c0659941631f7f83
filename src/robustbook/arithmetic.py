"""Set the precision and determinism of floating-point arithmetic, and the treatment of denormals.

Everywhere in the book, networks are trained and attacked inside the context manager `arithmetic`.
The default is float32 without TF32 and with cuDNN's deterministic algorithms. A training with a
lower precision states it in its recipe (`robustbook.training.Recipe`).
"""

import contextlib
from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch

Precision = Literal["float32", "tf32", "bfloat16"]


@contextlib.contextmanager
def arithmetic(
    device: str | torch.device = "cpu",
    precision: str = "float32",
    *,
    flush: bool = False,
) -> Iterator[None]:
    """Inside the context, make torch compute in ``precision`` on ``device``; restore the earlier
    settings when the context ends.

    ``float32``: IEEE float32, on a GPU without TF32.
    ``tf32``: on a GPU, matrix products and convolutions round their inputs to 10 mantissa bits; on
        a CPU, the same as ``float32``.
    ``bfloat16``: torch's autocast to bfloat16. The weights, their gradients and the losses stay in
        float32.
    ``flush``: whether denormal numbers (with absolute values below 1.2e-38) are treated as zero.
        With ``flush`` True, torch uses only one thread, because its setting for denormals acts on
        the calling thread only. On a GPU, ``flush`` must be False.

    cuDNN uses deterministic algorithms and does not choose algorithms by measured time, so repeated
    runs are bitwise equal. Raises ValueError for an unknown precision, and for ``flush`` on a GPU.
    """
    if precision not in get_args(Precision):
        raise ValueError(
            f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}"
        )
    kind = torch.device(device).type
    if flush and kind != "cpu":
        raise ValueError(
            "flush must be False on a GPU, where torch's setting for denormals does nothing, got "
            f"device {device}"
        )
    of: Any = torch.backends
    products = (of.cuda.matmul, of.cudnn.conv, of.cudnn.rnn, of.mkldnn.matmul)
    precisions = [product.fp32_precision for product in products]
    legacy = None
    with contextlib.suppress(RuntimeError):  # an error if the caller mixed torch's two interfaces
        legacy = torch.get_float32_matmul_precision()
    before = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    rounded = precision == "tf32"
    _set("high" if rounded else "highest", rounded, True, False)
    # torch cannot report whether it flushes denormals, so a computation tests it.
    flushed = _flushes()
    torch.set_flush_denormal(flush)
    threads = torch.get_num_threads()
    if flush:
        torch.set_num_threads(1)
    try:
        # Autocast's cache is off, because it would keep converted weights from before an optimiser
        # step.
        with torch.autocast(kind, torch.bfloat16, precision == "bfloat16", cache_enabled=False):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(flushed)
        _set(legacy or "highest", precisions[1] == "tf32", *before)
        for product, earlier in zip(products, precisions, strict=True):
            if product.fp32_precision != earlier:
                product.fp32_precision = earlier


def _set(matmul: str, convolution: bool, deterministic: bool, benchmark: bool) -> None:
    # These functions write fp32_precision too. Torch refuses to read the older settings after
    # fp32_precision alone was written, and torch.compile reads them.
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = convolution
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = benchmark


def _flushes() -> bool:
    smallest = torch.tensor(1e-39)
    return bool(smallest * 1 == 0)
