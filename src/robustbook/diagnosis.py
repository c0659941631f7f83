"""Check an evaluation for signs that its accuracy under attack overstates the robustness.

The checks follow Athalye, Carlini & Wagner 2018 (arXiv 1802.00420, Section 3.1) and Carlini et al.
2019 (arXiv 1902.06705). With gradient masking, for example, attacks that follow the network's
gradients fail, but other attacks succeed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations
from numbers import Real
from typing import Any

NAMES = {
    "clean": "accuracy without an attack",
    "one_step": "accuracy after one gradient step, as it was evaluated",
    "one_step_clipped": "the same, clipped to [0, 1]; left out if one_step is clipped",
    "zero_gradients": "share of images whose input gradient is exactly zero",
    "random_signs": "accuracy after random signs of the size of one_step",
    "many_steps": "accuracy after many gradient steps, clipped to [0, 1]",
    "repaired": "accuracy after many steps with a repaired backward pass, see `softened`",
    "gradient_free": "accuracy under an attack without gradients, clipped to [0, 1]",
    "float64": "accuracy after one_step with gradients computed in float64",
    "rescaled": "accuracy after one_step on logits divided by a constant",
    "transfer": "accuracy after one step computed on another network, clipped to [0, 1]",
    "curve": "a mapping from eps to accuracy under one attack; eps 0 is without attack",
    "unlimited": "accuracy at eps 1, where an attack may change every pixel to any value",
    "chance": "accuracy of a guess: 100 divided by the number of classes",
    "changed_answers": "share of clean images whose class differs between two equal calls",
    "repeats": "a list of accuracies, each from the same call as the others",
}
"""The names of the measurements that `diagnose` uses, each with a description.

All accuracies and shares are in percent, and measured on the same images. All attacks have the same
eps, unless the description says otherwise.
"""


@dataclass(frozen=True)
class Finding:
    """The answer to one question about an evaluation, for example: are the gradients exactly zero?

    ``red``: whether the finding suggests that the accuracy under attack overstates the robustness.
    ``sentence``: a sentence with the numbers that decide the answer.
    """

    question: str
    red: bool
    sentence: str


def diagnose(
    evidence: Mapping[str, Any], *, points: float = 5.0, share: float = 1.0, rise: float = 1.0
) -> list[Finding]:
    """Return a finding for each question that the given measurements can answer, in a fixed order.

    ``evidence``: a dictionary of measurements, with names from `NAMES`; `measures.evidence` makes
        it for a model.
    ``points``: two accuracies under attack count as equal if they differ by at most this many
        percentage points.
    ``share``: a limit in percent. A finding is red if a larger share of the images has a zero
        gradient, or changes its class between two equal evaluations. A finding is also red if the
        accuracies of equal evaluations differ by more than this many percentage points.
    ``rise``: a finding is red if the accuracy rises with eps by more than this many percentage
        points.

    The default values of points, share and rise are our choice.

    Raises ValueError for a wrong value, and for an unknown name of a measurement, with the most
    similar known name.
    """
    for name, value in (("points", points), ("share", share), ("rise", rise)):
        if not _is_percentage(value):
            raise ValueError(f"{name} must be a percentage in [0, 100], got {value!r}")
    e = _checked(evidence)
    return [*_gradients(e, points, share), *_attacks(e, points, rise), *_outputs(e, share)]


def _gradients(e: Mapping[str, Any], points: float, share: float) -> Iterator[Finding]:
    """Return the findings on whether the gradients are informative."""
    one, clipped, of_one = _one_step(e)
    if "zero_gradients" in e:
        zero = e["zero_gradients"]
        yield Finding(
            "Are gradients exactly zero?",
            zero > share,
            f"{zero:.1f} % of the images have an input gradient of exactly zero"
            + (": a gradient attack does not move them" if zero > share else ""),
        )
    if _has(e, "one_step", "random_signs"):
        yield Finding(
            "Does the attack beat random signs?",
            one > max(e["random_signs"] - points, 0),
            f"one step leaves an accuracy of {one:.1f} %, random signs of the same size leave "
            f"{e['random_signs']:.1f} %",
        )
    if clipped is not None and "many_steps" in e:
        yield Finding(
            "Do many steps beat one?",
            e["many_steps"] > clipped + points,
            f"{of_one} leaves an accuracy of {clipped:.1f} %, many steps leave "
            f"{e['many_steps']:.1f} %",
        )
    if _has(e, "many_steps", "repaired"):
        yield Finding(
            "Does repairing the gradient change anything?",
            e["repaired"] < e["many_steps"] - points,
            f"many steps leave an accuracy of {e['many_steps']:.1f} %, and {e['repaired']:.1f} % "
            "if the backward pass is repaired",
        )
    if _has(e, "one_step", "float64"):
        yield Finding(
            "Does the accuracy depend on the precision of the gradient?",
            abs(e["float64"] - one) > points,
            f"one step leaves an accuracy of {one:.1f} % with gradients in float32, "
            f"{e['float64']:.1f} % with gradients in float64",
        )
    if _has(e, "one_step", "rescaled"):
        yield Finding(
            "Does the accuracy depend on the scale of the logits?",
            abs(e["rescaled"] - one) > points,
            f"one step leaves an accuracy of {one:.1f} %, and {e['rescaled']:.1f} % if the logits "
            "are first divided by a constant, which changes no prediction",
        )


def _attacks(e: Mapping[str, Any], points: float, rise: float) -> Iterator[Finding]:
    """Return the findings that compare gradient attacks with other attacks, or that compare
    accuracies at different values of eps.
    """
    _, clipped, of_one = _one_step(e)
    followed = [value for value in (clipped, e.get("many_steps")) if value is not None]
    if followed and "gradient_free" in e:
        yield Finding(
            "Does an attack without gradients do more harm?",
            e["gradient_free"] < min(followed) - points,
            f"attacks that follow gradients leave an accuracy of {min(followed):.1f} %, one "
            f"without gradients leaves {e['gradient_free']:.1f} %",
        )
    if clipped is not None and "transfer" in e:
        yield Finding(
            "Do another network's adversarial images do more harm?",
            e["transfer"] < clipped - points,
            f"{of_one} leaves an accuracy of {clipped:.1f} %, one step computed on another "
            f"network leaves {e['transfer']:.1f} %",
        )
    if "curve" in e:
        sizes = sorted(e["curve"])
        rises = {(a, b): e["curve"][b] - e["curve"][a] for a, b in combinations(sizes, 2)}
        low, high = max(rises, key=rises.__getitem__)
        before, after = e["curve"][low], e["curve"][high]
        red = after > before + rise
        yield Finding(
            "Does a larger budget do less harm?",
            red,
            f"accuracy rises from {before:.1f} % at eps {low:g} to {after:.1f} % at eps {high:g}"
            if red
            else f"accuracy goes from {e['curve'][sizes[0]]:.1f} % at eps {sizes[0]:g} to "
            f"{e['curve'][sizes[-1]]:.1f} % at eps {sizes[-1]:g} and never rises by more than "
            f"{rise:g} percentage points",
        )
    if _has(e, "unlimited", "chance"):
        yield Finding(
            "Is the accuracy above chance where every pixel may change to any value?",
            e["unlimited"] > e["chance"] + points,
            f"at eps 1 the attack leaves an accuracy of {e['unlimited']:.1f} %, chance is "
            f"{e['chance']:.1f} %",
        )


def _outputs(e: Mapping[str, Any], share: float) -> Iterator[Finding]:
    """Return the findings on whether the model's output is random."""
    if "changed_answers" in e:
        changed = e["changed_answers"]
        yield Finding(
            "Is the output random?",
            changed > share,
            f"two equal calls give {changed:.1f} % of the images different classes"
            + (": attacks have to average over draws" if changed > share else ""),
        )
    if "repeats" in e:
        low, high = min(e["repeats"]), max(e["repeats"])
        yield Finding(
            "Does the accuracy change when it is measured again?",
            high - low > share,
            f"{len(e['repeats'])} equal measurements give accuracies from {low:.1f} % to "
            f"{high:.1f} %",
        )


def _one_step(e: Mapping[str, Any]) -> tuple[Any, Any, str]:
    """Return the accuracy after one gradient step, the accuracy after one step clipped to [0, 1],
    and a name for the second step. If only the first accuracy was measured, it is returned in both
    places.
    """
    one = e.get("one_step")
    if "one_step_clipped" in e:
        return one, e["one_step_clipped"], "one step clipped to [0, 1]"
    return one, one, "one step"


def _has(e: Mapping[str, Any], *names: str) -> bool:
    return all(name in e for name in names)


def _checked(evidence: Mapping[str, Any]) -> dict[str, Any]:
    """Return the measurements with numbers as Python floats. Raise ValueError for a wrong name or
    value.
    """
    check_names(evidence)
    found: dict[str, Any] = {}
    for name, value in evidence.items():
        if name == "curve":
            wanted = "a mapping from two or more sizes to percentages"
            fits = isinstance(value, Mapping) and len(value) >= 2 and all(map(_is_size, value))
            percentages = list(value.values()) if fits else []
        elif name == "repeats":
            wanted = "a list of two or more percentages"
            fits = isinstance(value, Sequence) and not isinstance(value, str) and len(value) >= 2
            percentages = list(value) if fits else []
        else:
            fits, wanted, percentages = True, "a percentage", [value]
        if not fits or not all(map(_is_percentage, percentages)):
            raise ValueError(f"{name} must be {wanted} in [0, 100], got {value!r:.80}")
        numbers = [float(percentage) for percentage in percentages]
        if name == "curve":
            found[name] = dict(zip(map(float, value), numbers, strict=True))
        else:
            found[name] = numbers if name == "repeats" else numbers[0]
    return found


def check_names(names: Iterable[str]) -> None:
    """Raise ValueError for a name that is not in `NAMES`; the message suggests the most similar
    name.
    """
    for name in names:
        if name not in NAMES:
            near = get_close_matches(str(name), NAMES, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(NAMES)}"
            raise ValueError(f"evidence has no name {name!r}; {hint}")


def _is_percentage(value: Any) -> bool:
    return _is_size(value) and bool(value <= 100)


def _is_size(value: Any) -> bool:
    """Return whether the value is a number of at least 0; numpy's numbers count too."""
    return isinstance(value, Real) and not isinstance(value, bool) and float(value) >= 0
