"""List every table, figure or claim of a paper that can be run.

In the code each is called an item; its name has the form ``paper/name``, and the ids of its numbers
have the form ``paper/name/...``. This module imports only the standard library, so the list can be
read quickly, without loading a study.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PROFILES = ("paper", "reduced", "quick")  # the most thorough profile first


@dataclass(frozen=True)
class Item:
    """A table, figure or claim of a paper, whose study can be run.

    ``module``: the name of the module that computes the item's numbers.
    ``title``: the title of the item.
    ``profiles``: the profiles (sizes of the experiments) with which the study can run.
    ``measures``: the beginnings of the ids (without the name of the paper) of the paper's numbers
        that the study measures; with None, they begin with the item's own name. If two studies
        measure the same number, the command line for it uses the study that comes later in the
        list.
    ``parts``: command-line options to run more of the study; without options, profile ``paper`` may
        run only a part. The key of an option is a word. A number needs the option if the number's
        id contains this word between two slashes.
    ``needs``: a text that says what the reader must provide for the study, such as a GPU; empty if
        everything that the study needs is downloaded automatically.
    ``judges``: the tables, figures or claims for which this item's page compares the paper's
        numbers with ours; by default, those in ``measures``.
    """

    module: str
    title: str
    profiles: tuple[str, ...] = ("quick", "paper")
    measures: tuple[str, ...] | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    needs: str = ""
    judges: tuple[str, ...] = ()


_DEEP = "robustbook.studies.deep_defense."
_SATURATING = "robustbook.studies.saturating."
_ENSEMBLE = "robustbook.studies.self_ensemble."
_SURVEY = "robustbook.studies.survey."
_ALL = ("quick", "reduced", "paper")
_COLOURED = {
    "cifar10-convnet": 'networks=["convnet"]',
    "cifar10-nin": 'networks=["nin"]',
    "lenet-cifar10": 'networks=["convnet"]',
    "nin-cifar10": 'networks=["nin"]',
}

# On Model A only two defenses are run by default, so all others need an option.
_OTHER_DEFENSES = {
    f"model-a/{word}": f"defenses={chosen}"
    for defense in ("adv", "brelu", "distill")
    for word, chosen in (
        (defense, f'["{defense}"]'),
        (f"rse-above-{defense}", f'["rse","{defense}"]'),
        (f"rse-distortion-above-{defense}", f'["rse","{defense}"]'),
    )
} | {"model-a/brelu-below-none": 'defenses=["none","brelu"]'}

_METHODS = ("plain", "clp", "lsq", "plain-alp", "at50-alp", "at50", "at100-alp", "at100")
_PAIRED = {
    **{f"mosbach-mnist/{m}": f'networks=["{m}"]' for m in _METHODS},
    **{f"mosbach-cifar10/{m}": f'networks=["cifar10:{m}"]' for m in _METHODS},
    "mosbach-cifar10/claim": 'networks=["cifar10:plain","cifar10:clp","cifar10:lsq",'
    '"cifar10:plain-alp"]',
    "engstrom/claim": 'networks=["clp","lsq","plain-alp","at100"]',
    "independent-cifar10/standard-resnet18": 'networks=["resnet18:standard"]',
}

ITEMS: Mapping[str, Item] = {
    "deep_defense/anchors": Item(
        _DEEP + "anchors",
        "Numbers of the DeepFool paper for the same networks",
        _ALL,
        ("anchor-deepfool-table-1/", "anchor-deepfool-table-3/", "anchor-deepfool-text/"),
        _COLOURED,
    ),
    "deep_defense/claims": Item(
        _DEEP + "claims",
        "Ten claims of the authors' post",
        _ALL,
        tuple(f"claim-{i}/" for i in range(1, 11)),
    ),
    "deep_defense/deepfool": Item(
        _DEEP + "presets", "Implementations of DeepFool compared", _ALL, ()
    ),
    "deep_defense/figure-1": Item(
        _DEEP + "figure_1", "Figure 1: the recursive network", measures=("code-networks/",)
    ),
    "deep_defense/figure-2": Item(
        _DEEP + "convergence",
        "Figure 2: convergence of fine-tuning",
        _ALL,
        ("figure-convergence-mnist/", "figure-convergence-cifar10/"),
        _COLOURED,
    ),
    "deep_defense/figure-3": Item(
        _DEEP + "hyper_parameters",
        "Figure 3: c, lambda and d",
        measures=("figure-hyper-parameters/",),
    ),
    "deep_defense/figure-4": Item(
        _DEEP + "layer_masking",
        "Figure 4: the regulariser on one layer",
        measures=("figure-layer-masking/",),
    ),
    "deep_defense/followup-brown-2019": Item(
        _DEEP + "replication", "A replication on Fashion-MNIST"
    ),
    "deep_defense/table-1": Item(
        _DEEP + "table_1",
        "Table 1: accuracy, rho_2 and accuracy under FGS",
        _ALL,
        ("table-1/", "supplement/", "text-results/"),
        _COLOURED,
    ),
    "deep_defense/today": Item(_DEEP + "today", "Deep Defense under attacks of today", _ALL, ()),
    "saturating/claims": Item(
        _SATURATING + "claims",
        "The claims of the text",
        measures=("text-1/", "text-4/", "text-7/"),
    ),
    "saturating/critique": Item(
        _SATURATING + "critique", "Saturating networks under attacks of today"
    ),
    "saturating/figure-1": Item(_SATURATING + "figure_1", "Figure 1: weights"),
    "saturating/figure-2": Item(_SATURATING + "figure_2", "Figure 2: pre-activations"),
    "saturating/figure-3": Item(_SATURATING + "figure_3", "Figure 3: dissimilarity, sigmoid MLP"),
    "saturating/figure-4": Item(_SATURATING + "figure_4", "Figure 4: paths between two digits"),
    "saturating/figure-4-relu": Item(
        _SATURATING + "figure_4_relu",
        "Figure 4: a similar trend for the ReLU MLP",
        measures=("figure-4/relu/",),
    ),
    "saturating/figure-5": Item(
        _SATURATING + "figure_5", "Figure 5: L-BFGS, least confident images"
    ),
    "saturating/figure-6": Item(
        _SATURATING + "figure_6",
        "Figure 6: heavy-tailed weights in a linear classifier",
        measures=("figure-6/", "text-8/"),
    ),
    "saturating/figure-7": Item(_SATURATING + "figure_7", "Figure 7: dissimilarity, ReLU MLP"),
    "saturating/figure-8": Item(
        _SATURATING + "figure_8", "Figure 8: L-BFGS, most confident images"
    ),
    "saturating/long-descent": Item(
        _SATURATING + "long_descent", "A gradient descent of thirty million steps", measures=()
    ),
    "saturating/table-1": Item(_SATURATING + "table_1", "Table 1: accuracy under FGSM"),
    "saturating/table-1-search": Item(
        _SATURATING + "table_1_search", "Table 1 with other trainings", measures=()
    ),
    "saturating/table-2": Item(_SATURATING + "table_2", "Table 2: the layers of the CNN"),
    "self_ensemble/controls": Item(
        _ENSEMBLE + "controls",
        "Other forms of the defenses",
        _ALL,
        ("claim-pgd-training-time", "later/nattack-"),
        judges=("training-time",),
    ),
    "self_ensemble/figure-2": Item(
        _ENSEMBLE + "figure_2", "Figure 2: noise in training and at test", _ALL
    ),
    "self_ensemble/figure-3": Item(_ENSEMBLE + "figure_3", "Figure 3: levels of noise", _ALL),
    "self_ensemble/figure-4": Item(_ENSEMBLE + "figure_4", "Figure 4: one draw against 50", _ALL),
    "self_ensemble/figure-5": Item(
        _ENSEMBLE + "figure_5", "Figure 5: accuracy against the number of draws", _ALL
    ),
    "self_ensemble/figure-6": Item(
        _ENSEMBLE + "figure_6",
        "Figure 6: accuracy and distortion against c",
        _ALL,
        ("figure-6/", "text-3/clean-cost", "text-4.3/", "setup/test-images", "setup/c-values"),
        {"vgg16": 'networks=["vgg16"]', "resnext": 'networks=["resnext"]', **_OTHER_DEFENSES},
        judges=("figure-6", "text-3", "text-4.3"),
    ),
    "self_ensemble/schedule": Item(
        _ENSEMBLE + "schedule", "Is a short training enough?", _ALL, measures=()
    ),
    "self_ensemble/table-1": Item(
        _ENSEMBLE + "table_1",
        "Table 1: settings",
        measures=("table-1/", "setup/params-", "setup/attack-steps", "figure-1/"),
        judges=("table-1", "setup", "figure-1"),
    ),
    "self_ensemble/table-2": Item(
        _ENSEMBLE + "table_2",
        "Table 2: accuracy under Carlini-Wagner",
        _ALL,
        ("table-2/", "abstract/"),
    ),
    "self_ensemble/table-3": Item(
        _ENSEMBLE + "table_3",
        "Table 3: distortion of targeted attacks",
        _ALL,
        ("table-3/", "figure-7/"),
    ),
    "self_ensemble/theory": Item(
        _ENSEMBLE + "theory",
        "Section 3.1: Jensen's bound and the trace of the Hessian",
        _ALL,
        ("claim-jensen", "claim-taylor-trace"),
        judges=("claim",),
    ),
    "self_ensemble/today": Item(
        _ENSEMBLE + "today",
        "Random Self-Ensemble under attacks of today",
        _ALL,
        ("later/pgd10-", "later/single-draw-", "later/eot-"),
        {"later": 'networks=["vgg16"]'},
        judges=("later-1",),
    ),
    "self_ensemble/zoo": Item(
        _ENSEMBLE + "zoo", "Section 3.3: the black-box attack ZOO", _ALL, ("text-3.3/",)
    ),
    "survey/fast": Item(
        _SURVEY + "fast",
        "Fast training: one FGSM step from a random start",
        _ALL,
        ("wong/", "n-fgsm/", "fgsm-rs/"),
        {
            word: 'sets=["cifar10"]'
            for word in ("cifar10-fgsm-rs", "cifar10-pgd-7", "cifar10-eps-8", "cifar10-eps-16")
        }
        | {"wong/claim": 'sets=["cifar10"]'},
    ),
    "survey/goodfellow": Item(
        _SURVEY + "goodfellow",
        "Goodfellow's loss: training on clean images and FGSM's",
        _ALL,
        ("goodfellow/",),
        {
            word: 'networks=["maxout-large"]'
            for word in ("maxout-large", "maxout-large-adversarial")
        },
    ),
    "survey/madry": Item(
        _SURVEY + "madry",
        "Madry's Table 1: adversarial training with PGD",
        _ALL,
        ("madry-table-1/", "madry-mnist/"),
    ),
    "survey/denoising": Item(
        _SURVEY + "denoising",
        "Feature denoising: eleven networks",
        _ALL,
        ("denoise-cifar/",),
    ),
    "survey/post": Item(
        _SURVEY + "post",
        "The post: its equation, pictures and claims",
        _ALL,
        ("blog/",),
    ),
    "survey/pairing": Item(
        _SURVEY + "pairing",
        "Mosbach et al. 2018: logit pairing under stronger attacks",
        _ALL,
        (
            "mosbach-mnist/",
            "mosbach-cifar10/",
            "engstrom/claim/",
            "independent-cifar10/standard-resnet18/",
        ),
        _PAIRED,
    ),
    "survey/certified": Item(
        _SURVEY + "certified",
        "Certified accuracy by randomized smoothing",
        _ALL,
        ("cohen-cifar10/", "cohen-theory/"),
        {f"sigma-{sigma}": f"sigmas=[{sigma}]" for sigma in (0.12, 0.25, 0.5, 1.0)},
    ),
    "survey/transformations": Item(
        _SURVEY + "transformations",
        "Random resizing and JPEG under adaptive attacks",
        _ALL,
        ("transform-cifar/",),
    ),
    "survey/szegedy": Item(
        _SURVEY + "szegedy",
        "Szegedy et al. 2013: the first adversarial examples, and their transfer",
        measures=("szegedy-table-1/", "szegedy-table-2/", "szegedy-tables-3-4/", "szegedy/"),
    ),
    "survey/madry-cifar": Item(
        _SURVEY + "madry_cifar",
        "Madry's Tables 2 and 5: CIFAR-10",
        ("paper",),
        ("madry-table-2/", "madry-table-5/", "madry-figure-6/"),
        {
            name: 'networks=["wide"]'
            for name in (
                "madry-table-2",
                *(
                    f"wide-{training}{end}"
                    for training in ("natural", "fgsm", "pgd")
                    for end in ("", "-trained")
                ),
            )
        },
        needs="needs a GPU",
    ),
    # This item is last, because a run of all items stops here if ImageNet's photographs are
    # missing.
    "deep_defense/imagenet": Item(
        _DEEP + "imagenet",
        "Table 1 on ImageNet",
        ("paper",),
        ("table-1/imagenet-", "text-results/imagenet-", "claim-1/"),
        needs="needs a GPU, and ImageNet's photographs in the folder imagenet of ROBUSTBOOK_DATA",
    ),
}
"""All tables, figures and claims whose study can be run; the keys are their names ``paper/name``.
"""

WITHOUT_STUDY: Mapping[str, str] = {
    "deep_defense/anchor-deepfool-table-1/caffenet-": "CaffeNet is not in the book",
    "deep_defense/anchor-deepfool-table-1/googlenet-": "GoogLeNet is not in the book",
    "self-ensemble/table-1/pgd-adv/": "not in the first version, and the second could not be read",
    "self-ensemble/text-4.1/": "the numbers are missing from the paper's text that we could read",
    "self-ensemble/later/nes100-": "the attack NES is not in the book",
    "self-ensemble/later/adv-bnn-gap": "the defense Adv-BNN is not in the book",
    "survey/goodfellow/rbf/": "the paper does not say how its RBF network is trained",
    "survey/goodfellow/rubbish/rbf/": "the paper does not say how its RBF network is trained",
    "survey/goodfellow/cifar10-maxout/": "the preprocessing, and so the unit of eps, is not stated",
    "survey/independent-cifar10/alp-0.5/": "ResNet-32 is not in the book",
    "survey/independent-cifar10/fgsm-at/": "ResNet-32 is not in the book",
    "survey/independent-cifar10/resnet18-": "no study trains a robust ResNet-18 for 200 epochs",
    "survey/independent-cifar10/standard-resnet18/deepfool": "the radius of DeepFool is not stated",
    "survey/claim/saturating-": "the page saturating/today measures it",
    "survey/claim/rse-": "the page self_ensemble/today measures it on smaller networks",
    "survey/claim/deep-defense-": "the page deep_defense/today measures it with other attacks",
    "survey/rse-later-log/": "the chapter on Random Self-Ensemble has the same number",
    "survey/nattack/": "the attack NATTACK is not in the book",
    "survey/athalye-table-1/": "the adaptive attack of Athalye et al. is not in the book",
    "survey/deep-defense-replication/": "the page deep_defense/replication measures it",
}
"""For some of the paper's numbers, the reason why no study measures them; the keys are the
beginnings of the numbers' ids.
"""


def judged(item: str) -> tuple[str, ...]:
    """Return the tables, figures or claims for which the page of ``item`` compares the paper's
    numbers with ours.
    """
    paper, name = item.split("/")
    of = ITEMS.get(item)
    names: Iterable[str] = (name,)
    if of is not None and of.measures is not None:
        names = of.judges or (start.partition("/")[0] for start in of.measures)
    return tuple(dict.fromkeys(f"{paper}/{each}" for each in names))


def measured_by(target: str, paper: str) -> str:
    """Return the name of the study that measures the paper's number with the id ``target``, or ""
    if no study measures it.
    """
    found = ""
    if not any(target.startswith(start) for start in WITHOUT_STUDY):
        for item, of in ITEMS.items():
            own, _, name = item.partition("/")
            starts = (f"{name}/",) if of.measures is None else of.measures
            if own == paper and target.partition("/")[2].startswith(starts):
                found = item
    return found


def command(target: str, paper: str, profile: str, item: str = "") -> tuple[str, str]:
    """Return the command line that measures a paper's number, and a note on what it needs.

    ``target``: the id of the number.
    ``item``: the name of the study that measured the number, if known.

    If the study cannot run with ``profile``, the command uses its most thorough profile. If no
    study measures the number, the command is "" and the note says why.
    """
    item = item or measured_by(target, paper)
    if item not in ITEMS:
        why = [text for start, text in WITHOUT_STUDY.items() if target.startswith(start)]
        return "", why[0] if why else "no study yet"
    of = ITEMS[item]
    if profile not in of.profiles:
        profile = next(better for better in PROFILES if better in of.profiles)
    words = ["robustbook", "run", item, "--profile", profile]
    if profile == "paper":
        chosen = [value for word, value in of.parts.items() if f"/{word}/" in target]
        words += [word for value in chosen for word in ("--set", value)]
    return shlex.join(words), of.needs
