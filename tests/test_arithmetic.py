"""The settings of `arithmetic`: their effect inside the context, and their restoration
afterwards.
"""

from typing import Any

import pytest
import torch

from robustbook.arithmetic import arithmetic

SMALL = 1e-39  # a denormal number of float32


def settings() -> tuple[bool, ...]:
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    return (cuda.matmul.allow_tf32, cudnn.allow_tf32, cudnn.deterministic, cudnn.benchmark)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_the_callers_settings_come_back(precision: str) -> None:
    """They come back after an error too, and if the caller had changed them before."""
    before = settings()
    try:
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
        torch.set_flush_denormal(True)
        mine = settings()
        with pytest.raises(KeyError), arithmetic("cpu", precision):
            assert settings()[0] == (precision == "tf32")
            assert torch.tensor(SMALL) * 1 != 0
            raise KeyError
        assert settings() == mine
        assert torch.tensor(SMALL) * 1 == 0
    finally:
        torch.set_flush_denormal(False)
        torch.backends.cuda.matmul.allow_tf32, _, _, torch.backends.cudnn.benchmark = before


@pytest.mark.parametrize("precision", ["float32", "tf32"])
@pytest.mark.parametrize("product", ["cuda.matmul", "cudnn.conv", "cudnn.rnn"])
@pytest.mark.parametrize("mine", ["ieee", "tf32"])
def test_torchs_newer_setting_of_tf32_may_be_used(product: str, mine: str, precision: str) -> None:
    """After it was written, torch raises an error where allow_tf32 is read."""
    cudnn: Any = torch.backends.cudnn
    products = {
        "cuda.matmul": torch.backends.cuda.matmul,
        "cudnn.conv": cudnn.conv,
        "cudnn.rnn": cudnn.rnn,
    }

    def now() -> list[str]:
        return [each.fp32_precision for each in products.values()]

    before = now()
    try:
        products[product].fp32_precision = mine
        set_by_caller = now()
        with arithmetic("cpu", precision):
            assert [each == "tf32" for each in now()] == 3 * [precision == "tf32"]
            assert settings()[:2] == 2 * (precision == "tf32",)
        assert now() == set_by_caller
    finally:
        for each, earlier in zip(products.values(), before, strict=True):
            each.fp32_precision = earlier
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = False, True
    assert settings()[:2] == (False, True)


def test_products_are_in_the_precision_that_was_asked_for() -> None:
    a = torch.ones(2, 2)
    with arithmetic("cpu", "bfloat16"):
        assert (a @ a).dtype == torch.bfloat16
    with arithmetic("cpu"):
        assert (a @ a).dtype == torch.float32


def test_a_weight_that_changes_inside_is_seen() -> None:
    """By default autocast keeps a weight's bfloat16 copy until the context ends.

    A training loop inside it would then always compute with the first weights.
    """
    layer = torch.nn.Linear(2, 2, bias=False)
    with arithmetic("cpu", "bfloat16"):
        first = layer(torch.ones(1, 2)).detach()
        with torch.no_grad():
            layer.weight.add_(1.0)
        torch.testing.assert_close(
            layer(torch.ones(1, 2)).detach(), first + 2, rtol=0.02, atol=0.02
        )


def test_small_numbers_are_flushed_on_request() -> None:
    with arithmetic("cpu", flush=True):
        assert torch.tensor(SMALL) * 1 == 0
    assert torch.tensor(SMALL) * 1 != 0


def test_every_entry_of_a_large_tensor_is_flushed() -> None:
    """Torch's setting acts on the calling thread, so other threads would keep their entries."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        many = torch.full((100_000,), SMALL)
        assert (many * 1).all()  # starts the second thread, which would inherit the setting
        with arithmetic("cpu", flush=True):
            assert not (many * 1).any()
        assert torch.get_num_threads() == 2
        with arithmetic("cpu"):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="precision must be one of float32, tf32, bfloat16, got"):
        arithmetic("cpu", "float16").__enter__()
    with pytest.raises(ValueError, match="flush must be False on a GPU"):
        arithmetic("cuda", flush=True).__enter__()


@pytest.mark.parametrize("mine", ["highest", "high", "medium"])
def test_torchs_older_setting_comes_back(mine: str) -> None:
    """With "medium", a CPU may compute matrix products in bfloat16, but not inside the context."""
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(mine)
        for precision in ("float32", "tf32", "bfloat16"):
            with arithmetic("cpu", precision):
                inside = "high" if precision == "tf32" else "highest"
                assert torch.get_float32_matmul_precision() == inside
            assert torch.get_float32_matmul_precision() == mine
    finally:
        torch.set_float32_matmul_precision(before)
