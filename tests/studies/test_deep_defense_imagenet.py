"""The rows of ImageNet from start to end, on a folder of a dozen small photographs."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from robustbook import catalogue, ledger
from robustbook.data import FolderSet
from robustbook.networks import imagenet_network
from robustbook.randomness import generator
from robustbook.runs import Context, StepFailed, Store, run
from robustbook.studies.deep_defense import imagenet, photographs
from robustbook.studies.deep_defense.photographs import Model, Tuning, fine_tune, halving

CROP = 64


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make four classes of three photographs, the same in train and val."""
    root = tmp_path_factory.mktemp("imagenet")
    rng = np.random.default_rng(0)
    for name in ("n01", "n02", "n03", "n04"):
        (root / "train" / name).mkdir(parents=True)
        for i in range(3):
            coarse = rng.integers(256, size=(6, 8, 3), dtype=np.uint8)
            photograph = Image.fromarray(coarse).resize((90, 74), Image.Resampling.BICUBIC)
            photograph.save(root / "train" / name / f"{i}.jpg")
    os.symlink(root / "train", root / "val")
    return root


@pytest.fixture(scope="module")
def weights(tree: Path) -> str:
    """Return a ResNet-18 that classifies all twelve photographs correctly.

    Its layers are random, and its last layer is solved for the labels.
    """
    net = imagenet_network("resnet18", weights="random", classes=4, generator=generator(0)).eval()
    photos = FolderSet(tree / "val", CROP)
    head, net.body.fc = net.body.fc, torch.nn.Identity()
    for name, scale in net.body.named_buffers():
        if name.endswith("bn2.weight"):  # so that the sum over eight blocks does not grow
            scale.fill_(0.1)
    with torch.no_grad():
        features = net(photos[torch.arange(12)].float() / 255)
        wanted = 4 * torch.nn.functional.one_hot(photos.labels, 4).float()
        centred = features - features.mean(0)
        head.weight.copy_(torch.linalg.lstsq(centred, wanted - 1).solution.T)
        head.bias.copy_(1 - head.weight @ features.mean(0))
    net.body.fc = head
    save_file(net.body.state_dict(), tree / "resnet.safetensors")
    return str(tree / "resnet.safetensors")


def test_every_row_of_resnet_comes_out(
    tree: Path, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows of the ledger are computed from the photographs.

    Training changes the network, and FGS at its own eps_ref leaves half of the images.
    """
    monkeypatch.setattr(photographs, "SECTIONS", 8)
    parameters = imagenet.Parameters(
        profile="paper",
        root=str(tree),
        architectures=("resnet18",),
        weights=weights,
        crop=CROP,
        epochs=1,
        batch_size=6,
        c=5.0,
    )
    calls = imagenet.calls(parameters)
    results = run(list(calls.values()), store=Store(tmp_path), workers=0, progress=False)
    record = imagenet.condense(parameters, dict(zip(calls, results, strict=True)))
    of = {row.target: row for row in record.rows if row.target}
    targets = ledger.read_targets(catalogue.BOOK / "targets")
    asked = {id_ for id_ in targets if "imagenet-resnet18" in id_}
    assert set(of) == asked | {"deep_defense/claim-1/check"}
    value = {id_: row.value for id_, row in of.items()}
    name = "deep_defense/table-1/imagenet-resnet18"
    assert value[f"{name}/reference/accuracy"] == 100
    assert of[f"{name}/reference/accuracy"].images == 12
    before, after = value[f"{name}/reference/rho2"], value[f"{name}/deep-defense/rho2"]
    assert 0 < before != after > 0
    gain = "deep_defense/text-results/imagenet-resnet18/rho2-gain"
    assert value[gain] == pytest.approx(after / before)
    assert of[gain].holds is None  # we could not read what the paper says
    assert value["deep_defense/claim-1/check"] == pytest.approx(1 / before)
    assert value[f"{name}/eps-ref"] > 0
    assert 25 <= value[f"{name}/deep-defense/fgs-1.0"] <= 50 < value[f"{name}/deep-defense/fgs-0.2"]


@pytest.mark.slow
def test_alexnet_is_trained_with_its_dropout(tree: Path, tmp_path: Path) -> None:
    """One step in training mode reads images from the disk and changes every weight."""
    context = Context(tmp_path, "cpu", lambda done, total: None)
    model = Model("alexnet", "random", str(tree), crop=63)
    trained = fine_tune.function(model, Tuning(1, batch_size=4, c=5.0), 0, context=context)
    start = photographs.network(model, None, "cpu")
    for name, parameter in start.named_parameters():
        moved = trained[f"weight/{name}"]
        assert isinstance(moved, torch.Tensor) and moved.isfinite().all()
        assert not torch.equal(moved, parameter), name


@pytest.mark.parametrize("at", [0.00031, 0.02, 1.0, 30.0])
def test_halving_finds_the_first_crossing_in_three_passes(at: float) -> None:
    """The result is exact to a thousandth, and accuracy there is at most one half."""
    passes = []

    def curve(sizes: Sequence[float]) -> list[float]:
        passes.append(sizes)
        return [50.0 if eps >= at else 51.0 for eps in sizes]

    found = halving(curve)
    assert at <= found <= at * 1.001 and len(passes) == 3
    assert halving(lambda sizes: [40.0] * len(sizes)) == 0
    with pytest.raises(ValueError, match="half of the images must be .* eps up to 32, got fewer"):
        halving(lambda sizes: [60.0] * len(sizes))


def test_the_images_have_to_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a root they are looked for among the data files, and the error names the path.

    The plans of other items do not need them.
    """
    monkeypatch.setenv("ROBUSTBOOK_DATA", str(tmp_path))
    parameters = imagenet.Parameters(profile="paper")
    calls = imagenet.calls(parameters)
    assert len(calls) == 10
    with pytest.raises(StepFailed, match=r"imagenet/val is no folder: a folder with one"):
        first = calls["resnet18", "reference", 0, "read"]
        run([first], store=Store(tmp_path / "store"), workers=0, progress=False)


def test_train_and_val_must_name_the_same_classes(tree: Path, tmp_path: Path) -> None:
    """Labels are positions in the list of classes, so another list would shift them."""
    os.symlink(tree / "train", tmp_path / "train")
    (tmp_path / "val").mkdir()
    for name in ("n01", "n02", "n03", "n05"):
        os.symlink(tree / "train" / "n01", tmp_path / "val" / name)
    model = Model("resnet18", "random", str(tmp_path), CROP)
    context = Context(tmp_path, "cpu", lambda done, total: None)
    with pytest.raises(ValueError, match="root must hold the same classes in train and val, got 4"):
        fine_tune.function(model, Tuning(1), 0, context=context)
