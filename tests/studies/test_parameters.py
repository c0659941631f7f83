"""A wrong parameter gives one sentence with the accepted values, before any computation."""

import ast
import math
import re
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from robustbook.catalogue import ITEMS, study
from robustbook.ledger import PROFILES
from robustbook.studies.parameters import BadParameter, accepted, check

TABLE_1 = study("saturating/table-1").Parameters


def test_defaults_are_the_published_page() -> None:
    """A notebook that is opened and run with its defaults computes nothing."""
    p = check(TABLE_1, {})
    assert (p.profile, p.seeds, p.eps) == ("published", (), 0.25)


def test_a_profile_brings_its_own_seeds_and_a_list_becomes_a_tuple() -> None:
    """A record contains the seeds that were really run."""
    assert check(TABLE_1, {"profile": "paper"}).seeds == (0, 1, 2, 3, 4)
    assert check(TABLE_1, {"profile": "quick", "seeds": [3, 4]}).seeds == (3, 4)


def test_no_list_takes_a_value_twice_and_no_number_is_infinite() -> None:
    """Each parameter of each study, whose type says whether it is a list or a number."""
    firsts = {"networks": "vgg16 resnext model-a mlp lenet plain simple maxout", "sets": "mnist"}
    firsts |= {"defenses": "none", "methods": "fgsm", "architectures": "alexnet"}
    lists, numbers = set(), 0
    for item in ITEMS:
        parameters = study(item).Parameters
        for name, kind in get_type_hints(parameters).items():
            if name == "sigmas" or (name in firsts and "tuple" in str(kind)):
                some = [0.25] if name == "sigmas" else firsts[name].split()
                one = next(value for value in some if f"'{value}'" in str(kind) or value == 0.25)
                with pytest.raises(
                    BadParameter, match=f"^{name} .*; each value must be given once"
                ):
                    check(parameters, {name: [one, one]})
                check(parameters, {name: [one]})
                lists.add(name)
            elif "float" in str(kind) and "tuple" not in str(kind):
                numbers += 1
                with pytest.raises(BadParameter, match=f"^{name} must be .*, got inf$"):
                    check(parameters, {name: math.inf})
    assert lists == {"sigmas", *firsts} and numbers > 20


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"eps": -1.0}, "eps must be a size of attack .* above 0, at most 1, got -1.0"),
        ({"eps": 0.0}, "eps must be .*, got 0.0"),
        ({"eps": 8}, "eps must be .*, got 8"),
        ({"eps": float("nan")}, "eps must be .*, got nan"),
        ({"eps": "0.1"}, "eps must be .*, got '0.1'"),
        ({"profile": "fast"}, "profile must be published .*, quick .* or paper .*, got 'fast'"),
        ({"seeds": []}, r"seeds must be a list of distinct whole numbers from 0, .*, got \[\]"),
        ({"seeds": [1, 1]}, r"seeds must be .* distinct .*, got \[1, 1\]"),
        ({"seeds": [-1]}, r"seeds must be .*, got \[-1\]"),
        ({"seeds": [0.5]}, r"seeds must be .*, got \[0.5\]"),
        ({"seeds": [True]}, r"seeds must be .*, got \[True\]"),
        ({"seeds": 3}, "seeds must be .*, got 3"),
        ({"controls": 0}, "controls must be a number of test images, 1 to 10000, got 0"),
        ({"controls": 20_000}, "controls must be .*, got 20000"),
        ({"controls": 10.5}, "controls must be .*, got 10.5"),
        ({"epz": 0.1}, "epz is no parameter of this item; it takes .*eps.*; did you mean eps?"),
        ({"zzz": 1}, "zzz is no parameter of this item; it takes profile, seeds, eps, controls$"),
    ],
)
def test_a_slip_is_one_sentence(given: dict[str, Any], sentence: str) -> None:
    """It has the name, the accepted values and the value; a notebook shows no traceback."""
    with pytest.raises(BadParameter, match=f"^{sentence}") as caught:
        check(TABLE_1, given)
    assert "\n" not in str(caught.value)
    assert caught.value._render_traceback_() == [f"BadParameter: {caught.value}"]


CELL = re.compile(r"\[parameters\]\n\n(.*?)\n```", re.DOTALL)
BEGIN = re.compile(r'page\.begin\("([^"]+)", globals\(\)\)')


def pages() -> list[Any]:
    folder = Path(__file__).parents[2] / "notebooks"
    found = []
    for path in sorted(folder.glob("*/*.md")):
        text = path.read_text()
        if (item := BEGIN.search(text)) is not None:
            found.append(pytest.param(item[1], text, id=path.stem))
    return found


@pytest.mark.parametrize(("item", "text"), pages())
def test_the_notebooks_parameters_cell_is_the_studys(item: str, text: str) -> None:
    """Names, order, defaults and descriptions agree.

    Readers see this cell, and papermill's help prints it.
    """
    parameters = study(item).Parameters
    cell = CELL.search(text)
    assert cell is not None, "no cell is tagged parameters"
    seen = {}
    for line in cell[1].splitlines():
        code, _, comment = line.partition("  # ")
        (statement,) = ast.parse(code).body
        assert isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        assert statement.value is not None
        written = check(parameters, {statement.target.id: ast.literal_eval(statement.value)})
        seen[statement.target.id] = (getattr(written, statement.target.id), comment)
    defaults = parameters()
    assert list(seen) == list(accepted(parameters))
    for name, words in accepted(parameters).items():
        assert seen[name] == (getattr(defaults, name), words)


def test_every_item_has_words_for_each_parameter() -> None:
    """Otherwise an error would say `must be None`."""
    for item in ITEMS:
        words = accepted(study(item).Parameters)
        assert {"profile", "seeds"} <= words.keys()
        assert all(text and text != "None" for text in words.values())


@pytest.mark.parametrize(
    ("item", "name", "values", "known"),
    [
        ("self_ensemble/table-2", "networks", ["vgg16", "model-a"], "vgg16 or resnext"),
        ("survey/pairing", "networks", ["plain", "cifar10:plain"], "plain, .* or at100"),
        ("survey/fast", "sets", ["mnist", "cifar10"], "mnist"),
        ("survey/fast", "methods", ["fgsm-rs", "fgsm-rs-2"], "fgsm, fgsm-rs, n-fgsm or pgd"),
    ],
)
def test_a_value_for_which_a_profile_has_no_settings_is_refused(
    item: str, name: str, values: list[str], known: str
) -> None:
    """Otherwise a part that the reader chose would be left out, without a word."""
    of = study(item)
    sentence = f"^{name} must be {known} for profile quick, got '{values[1]}'$"
    with pytest.raises(BadParameter, match=sentence):
        of.calls(check(of.Parameters, {"profile": "quick", name: values}))
    of.calls(check(of.Parameters, {"profile": "quick", name: values[:1]}))


@pytest.mark.parametrize("item", ITEMS)
def test_a_profile_that_is_accepted_can_be_run(item: str) -> None:
    """Otherwise a page would fail in the middle, because its study has no such setting."""
    of = study(item)
    for profile in PROFILES:
        if profile in of.Parameters.own_seeds:
            of.calls(check(of.Parameters, {"profile": profile}))
        else:
            with pytest.raises(BadParameter, match=r"^profile must be published.*, got "):
                check(of.Parameters, {"profile": profile})


def test_a_wrong_name_is_answered_with_all_names() -> None:
    """If the description of the parameter does not list them."""
    fast = study("survey/fast").Parameters
    with pytest.raises(
        BadParameter, match=r"got \['pdg'\]; the names are fgsm, fgsm-rs, n-fgsm, pgd"
    ):
        check(fast, {"methods": ["pdg"]})
    with pytest.raises(
        BadParameter, match=r"a list of mnist, cifar10, or None for mnist, got .*\]$"
    ):
        check(fast, {"sets": ["mnits"]})
