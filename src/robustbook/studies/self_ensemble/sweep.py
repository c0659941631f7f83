"""The attack on a network with several values of c: the calls to run, and the rows of the
record.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from robustbook.ledger import Row
from robustbook.runs import Call, Done

from .attack import Swept, attacked, clean, joined
from .settings import Names, Setting


def points(
    own: Setting, defense: Names, seed: int, cs: Sequence[float]
) -> dict[tuple[float, int], Call]:
    """Return the calls that attack the network at each c, piece by piece; c = 0 stands for the
    clean images.
    """
    net, draws = own.network(defense, seed), own.draws(defense)
    found = {(0.0, first): clean(net, first, count, (draws,)) for first, count in own.pieces}
    for c in cs:
        for first, count in own.pieces:
            found[c, first] = attacked(net, c, first, count, own.steps, draws)
    return found


def swept(
    results: Mapping[tuple[Any, ...], Done], seed: int
) -> dict[tuple[str, str, float], Swept]:
    """Return the results of one seed by (network, defense, c), with all pieces joined."""
    pieces: dict[tuple[str, str, float], list[Done]] = {}
    for (network, defense, at, c, _), done in results.items():
        if at == seed:
            pieces.setdefault((network, defense, c), []).append(done)
    return {key: joined(parts) for key, parts in pieces.items()}


def cell(
    network: str, defense: str, c: float, seed: int, found: Swept, targets: Mapping[str, str]
) -> Iterator[Row]:
    """Yield the rows of one network at one c; ``targets`` has the ids of the targets for
    ``accuracy`` and ``distortion``.
    """
    labels: dict[str, str | float | int | bool] = {"network": network, "defense": defense, "c": c}
    images = len(found.right)
    yield Row(
        found.accuracy,
        "percent",
        targets.get("accuracy"),
        "accuracy",
        seed,
        images,
        setting=labels,
    )
    if c:
        single = 100 * found.single.double().mean().item()
        yield Row(single, "percent", None, "accuracy of one draw", seed, images, setting=labels)
        target = targets.get("distortion")
        yield Row(found.distortion, "l2", target, "distortion", seed, setting=labels)
