"""List the jobs that attack a network with several values of c, and arrange their results in
rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from robustbook.ledger import Row
from robustbook.ledger.outcomes import paired_error
from robustbook.runs import Call, Done
from robustbook.studies.rows import share_row

from .attack import Swept, attacked, clean, joined
from .networks import Noise
from .printed import shorter
from .settings import DRAWS, TARGETS, Names, Setting

CURVE = (0.01, 0.03, 0.06, 0.1, 0.2, 0.4, 1.0)
"""The values of c in Figures 2 and 3. If a profile lacks some of them, its figures show the others.
"""
NUMBERS = (1, 2, 4, 8, 10, 16, 20, 30, 40, DRAWS)
"""The numbers of noise draws in Figure 5."""


def counted(own: Setting, defense: Names, seed: int) -> dict[tuple[float, int], Call]:
    """Return the jobs that evaluate clean images with several numbers of noise draws. The dict has
    one entry per pair (0, index of the job's first test image), where 0 is the value of c.
    """
    net = own.network(defense, seed)
    numbers = NUMBERS if defense.startswith("rse") else (1,)
    return {(0.0, first): clean(net, first, count, numbers) for first, count in own.pieces(defense)}


def points(
    own: Setting, defense: Names, seed: int, cs: Sequence[float], noise: Noise | None = None
) -> dict[tuple[float, int], Call]:
    """Return the jobs that attack the network with each c, as a dict with one entry per pair (c,
    index of the job's first test image).

    The value c = 0 stands for clean images.

    ``noise``: the noise layers at test time; with None, the noise layers of training.
    """
    net, draws = own.network(defense, seed), own.draws(defense)
    if noise is not None:
        draws = DRAWS if noise.when in ("always", "test") else 1
    found = {
        (0.0, first): clean(net, first, count, (draws,), noise)
        for first, count in own.pieces(defense)
    }
    for c in cs:
        for first, count in own.pieces(defense):
            found[c, first] = attacked(net, c, first, count, own.steps, draws, noise)
    return found


def swept(
    results: Mapping[tuple[Any, ...], Done], seed: int, *, paper: bool = False
) -> dict[tuple[str, str, float], Swept]:
    """Return the results of one seed, joined over the pieces of the test images, as a dict with one
    entry per tuple (network, defense, c).

    ``paper``: whether the networks have the paper's size. If they have, `printed.shorter` decides
        from the accuracy on clean images whether a training counts as the paper's.
    """
    pieces: dict[tuple[str, str, float], list[Done]] = {}
    for (network, defense, at, c, _), done in results.items():
        if at == seed:
            pieces.setdefault((network, defense, c), []).append(done)
    found = {key: joined(parts) for key, parts in pieces.items()}
    if not paper:
        return found
    return {
        (network, defense, c): replace(
            at, differs=shorter(network, defense, found[network, defense, 0.0].accuracy)
        )
        for (network, defense, c), at in found.items()
    }


def cell(
    network: str,
    defense: str,
    c: float,
    seed: int,
    found: Swept,
    targets: Mapping[str, str],
    single: bool = False,
) -> Iterator[Row]:
    """Yield the result rows for one network and one c.

    ``targets``: the ids of the two numbers of the paper with which our accuracy and our distortion
        are compared.

    ``single``: whether the network was also evaluated on clean images with one noise draw.
    """
    labels: dict[str, str | float | int | bool] = {"network": network, "defense": defense, "c": c}
    of: dict[str, Any] = {"seed": seed, "setting": labels, "differs": found.differs}
    yield share_row(found.right, targets.get("accuracy"), "accuracy", **of)
    if c or single:
        yield share_row(found.single, None, "accuracy of one draw", **of)
    if c:
        error = found.distortion_error
        yield Row(
            found.distortion, "l2", targets.get("distortion"), "distortion", error=error, **of
        )


def clean_cost(name: str, of: Mapping[tuple[str, float], Swept], seed: int) -> Iterator[Row]:
    """Yield by how many points RSE lowers the accuracy of one network on clean images. Yield
    nothing if the network was not run with and without RSE.

    ``name``: the last part of the id of the paper's number.
    ``of``: the results for each pair (defense, c). All results at one c are of the same images.
    """
    if (none := of.get(("none", 0.0))) and (rse := of.get(("rse", 0.0))):
        yield Row(
            none.accuracy - rse.accuracy,
            "percent",
            f"{TARGETS}/text-3/{name}",
            seed=seed,
            differs=none.differs or rse.differs,
            error=paired_error([none.right], [rse.right]),
        )
