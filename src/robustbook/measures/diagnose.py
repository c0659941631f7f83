"""What an evaluation should be asked before it is believed: each question with its answer and a
sentence.

After Athalye, Carlini & Wagner 2018 (arXiv 1802.00420, Section 3.1) and Carlini et al. 2019 (arXiv
1902.06705): a defense whose gradients say nothing looks robust to attacks that follow them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Evidence:
    """Accuracies in percent under attacks of one budget, on the same images.

    ``single``: one gradient step, as evaluated. ``unmoved``: share of images with an exactly zero
    gradient in it. ``signs``: random signs of the same size. ``clipped`` and the rest stay inside
    the box: one step, ``many`` steps, ``repaired`` the same with a backward pass that cannot
    vanish, ``transfer`` one step computed on another network. ``float64`` and ``rescaled``: the
    single step from gradients in float64, and from logits divided by a constant.
    """

    single: float
    unmoved: float
    signs: float
    clipped: float
    many: float
    repaired: float
    float64: float
    rescaled: float
    transfer: float | None = None


@dataclass(frozen=True)
class Finding:
    """``red`` where the answer says that the accuracy under attack is not to be believed as
    robustness."""

    question: str
    red: bool
    sentence: str


def diagnose(e: Evidence, *, points: float = 5.0) -> list[Finding]:
    """All questions, answered. Differences below ``points`` percentage points count as none."""
    found = [
        Finding(
            "Are gradients exactly zero?",
            e.unmoved > 1,
            f"{e.unmoved:.1f} % of the images have an input gradient of exactly zero"
            + (", so that the attack leaves them as they are" if e.unmoved > 1 else ""),
        ),
        Finding(
            "Does the attack beat coin tosses?",
            e.single > e.signs - points,
            f"one step leaves {e.single:.1f} %, random signs of the same size {e.signs:.1f} %",
        ),
        Finding(
            "Do many steps beat one?",
            e.many > e.clipped + points,
            f"inside the box one step leaves {e.clipped:.1f} %, many leave {e.many:.1f} %",
        ),
        Finding(
            "Does repairing the gradient change anything?",
            e.repaired < e.many - points,
            f"many steps leave {e.many:.1f} %, and {e.repaired:.1f} % with a backward pass that "
            "cannot vanish",
        ),
        Finding(
            "Does the answer depend on the precision?",
            abs(e.float64 - e.single) > points,
            f"one step leaves {e.single:.1f} % in float32, {e.float64:.1f} % in float64",
        ),
        Finding(
            "Does the answer depend on the scale of the logits?",
            abs(e.rescaled - e.single) > points,
            f"one step leaves {e.single:.1f} %, and {e.rescaled:.1f} % when the logits are divided "
            "by a constant, which changes no answer of the network",
        ),
    ]
    if e.transfer is not None:
        found.append(
            Finding(
                "Do another network's adversarial images do more harm?",
                e.transfer < e.clipped - points,
                f"one step leaves {e.clipped:.1f} %, one step computed on the vanilla network "
                f"{e.transfer:.1f} %",
            )
        )
    return found
