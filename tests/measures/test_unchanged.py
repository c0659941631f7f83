"""Measuring changes nothing of the caller's, and invalid logits raise an error."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustbook import measures
from robustbook.measures import Attack
from robustbook.measures.answers import check_set
from robustbook.randomness import generator

X = torch.rand(12, 1, 4, 4, generator=generator(0, "images"))
NOISE = torch.randn(X.shape, generator=generator(0, "noise"))
T = torch.linspace(0, 1, 5)


@pytest.fixture(autouse=True)
def own_random_state() -> Iterator[None]:
    """Set torch's generator, from which dropout draws, to the same state for each test."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        yield


class Network(nn.Module):
    """A network with everything that a forward pass could change.

    It has batch norm, dropout, a counter, a bfloat16 layer, a frozen layer and a hook.
    """

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            self.first = nn.Conv2d(1, 3, 3)
            self.norm, self.relu, self.drop = nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.3)
            self.hidden = nn.Linear(12, 6, dtype=torch.bfloat16)
            self.readout = nn.Linear(6, 3)
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.first.requires_grad_(False)
        self.register_forward_hook(lambda module, inputs, output: None)

    def preactivations(self, x: Tensor) -> list[Tensor]:
        self.count = self.count + 1
        h = self.drop(self.relu(self.norm(self.first(x)))).flatten(1)
        h = self.hidden(h.to(self.hidden.weight.dtype)).to(x.dtype)
        return [h, self.readout(self.relu(h))]

    def forward(self, x: Tensor) -> Tensor:
        return self.preactivations(x)[-1]


def step(net: Any) -> Callable[..., Tensor]:
    return lambda x, y, keys, eps: (
        measures.strike(Attack("fgsm", eps, clip=True), net, x, y, keys=keys).images
    )


MEASURES: dict[str, Callable[[Any, Tensor, Tensor], object]] = {
    **{
        name: lambda net, x, y, attack=attack: measures.survival(net, x, y, attack, batch_size=5)
        for name, attack in {
            "none": Attack("none"),
            "fgsm": Attack("fgsm", 0.1),
            "signs": Attack("random-signs", 0.1),
            "pgd, float64": Attack("pgd", 0.1, precision="float64", steps=2),
            "pgd, view": Attack("pgd", 0.1, slope=3.0, rescale=True, steps=2),
            "square": Attack("square", 0.1, queries=4),
            "flushed": Attack("fgsm", 0.1, flush=True),
        }.items()
    },
    "transfer": lambda net, x, y: measures.survival(
        lambda x: x.flatten(1)[:, :3], x, y, Attack("fgsm", precision="float64"), source=net
    ),
    "strike": lambda net, x, y: measures.strike(Attack("fgsm"), net, x, y),
    "evidence": lambda net, x, y: measures.evidence(net, x, y, 0.1, queries=3),
    "predict": lambda net, x, y: measures.predict(net, x, 5),
    "logits_of": lambda net, x, y: measures.logits_of(net, x),
    "median_lead": measures.median_lead,
    "gradient_sizes": measures.gradient_sizes,
    "gradient_signs": measures.gradient_signs,
    "accuracy_along": lambda net, x, y: measures.accuracy_along(net, x, y, x - 0.5, 0.3),
    "eps_leaving": lambda net, x, y: measures.eps_leaving(
        net, x, measures.predict(net, x), NOISE, accuracy=95.0
    ),
    "smallest": lambda net, x, y: measures.smallest(net, x, y, step(net), (0.1, 0.5)),
    "preactivations": lambda net, x, y: measures.preactivations(net, x),
    "feature_maps": lambda net, x, y: list(
        measures.feature_maps(net, x, ["first", "readout"]).values()
    ),
    "feature_noise": lambda net, x, y: list(
        measures.feature_noise(net, x, 0.9 * x, ["readout"]).values()
    ),
    "walk": lambda net, x, y: measures.walk(net, x[0], x[1], T),
    "resolve": lambda net, x, y: measures.resolve(net, x[0], x[1], T, halvings=2),
    "jacobian": lambda net, x, y: measures.jacobian(
        lambda flat: net(flat.reshape(-1, 1, 4, 4)), x.flatten(1)
    ),
}
NETWORKLESS = {
    *("Activity", "Attack", "Finding", "Histogram", "Intensity", "Strike", "Survival", "Walk"),
    *("activity", "battery", "class_means", "diagnose", "dissimilarity", "surviving"),
    *("epsilon_min", "expected_ratio", "pearson_vii", "resampled", "scaled_ratio", "unit"),
    *("excess_kurtosis", "histogram", "layer_weights"),
    *("fisher_distance", "length_element", "straight_path"),
    *("bypassed", "rescaled", "softened"),  # they do not run a network; see test_views
    *("Curvature", "certified", "curvature", "lower_limit", "votes"),  # counts, or a function
    "survival",
}


def held(net: nn.Module) -> dict[str, Any]:
    """Return everything that a caller can see of a network."""
    found: dict[str, Any] = {}
    for name, part in net.named_modules():
        hooks = (len(part._forward_hooks), len(part._backward_hooks), len(part._forward_pre_hooks))
        found[name] = (part.training, hooks, id(part))
    for name, p in net.named_parameters():
        found[f"{name}, parameter"] = (id(p), p.dtype, p.device, p.requires_grad, p.grad)
    found |= {f"{name}, buffer": id(buffer) for name, buffer in net.named_buffers()}
    values = {f"{name}, value": t.detach().clone() for name, t in net.state_dict().items()}
    return found | values


def test_every_measure_of_a_network_is_tried() -> None:
    assert set(measures.__all__) - NETWORKLESS <= set(MEASURES)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", MEASURES)
def test_nothing_of_the_callers_is_changed(name: str, training: bool) -> None:
    """This covers weights, buffers, dtypes, modes, requires_grad, .grad, hooks, images and random
    state.
    """
    net = Network().train(training)
    x, y = X.clone(), torch.arange(12) % 3
    before, state, setting = held(net), torch.get_rng_state(), torch.get_default_dtype()
    if name == "jacobian" and training:  # its model is a function that hides the network
        net.eval()
        before = held(net)
    MEASURES[name](net, x, y)
    if name == "jacobian":
        net.count, before["count, buffer"] = torch.zeros_like(net.count), None
        before["count, buffer"] = id(net.count)
    after = held(net)
    assert before.keys() == after.keys()
    for key, value in before.items():
        same = torch.equal(value, after[key]) if isinstance(value, Tensor) else value == after[key]
        assert same, key
        if isinstance(value, Tensor):
            assert value.dtype == after[key].dtype
    assert torch.equal(x, X) and not x.requires_grad and torch.equal(y, torch.arange(12) % 3)
    assert torch.equal(state, torch.get_rng_state()) and torch.get_default_dtype() == setting
    assert torch.is_grad_enabled() and (torch.tensor([1e-40]) * 0.5).item() != 0


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_works_where_gradients_are_off(name: str) -> None:
    """Evaluation often runs under no_grad or inference_mode; the numbers are the same."""
    net, y = Network().eval(), torch.arange(12) % 3
    plain = MEASURES[name](net, X, y)
    for off in (torch.no_grad, torch.inference_mode):
        with off():
            assert_same(MEASURES[name](net, X + 0, y + 0), plain)
            assert not torch.is_grad_enabled()


def assert_same(one: Any, other: Any) -> None:
    if isinstance(one, tuple | list):
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, Tensor):
        assert torch.equal(one, other)
    elif hasattr(one, "__dict__"):
        assert_same(list(vars(one).values()), list(vars(other).values()))
    else:
        assert one == other


class Shifted(Network):
    """A network that first subtracts 1/2, in place or not."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place

    def preactivations(self, x: Tensor) -> list[Tensor]:
        return super().preactivations(x.sub_(0.5) if self.in_place else x - 0.5)


@pytest.mark.parametrize("name", MEASURES)
def test_a_network_may_change_its_input_in_place(name: str) -> None:
    """The caller's images stay, and the numbers are those of the same network without that."""
    net, other, x, y = Shifted(True).eval(), Shifted(False).eval(), X.clone(), torch.arange(12) % 3
    other.load_state_dict(net.state_dict())
    assert_same(MEASURES[name](net, x, y), MEASURES[name](other, X, y))
    assert torch.equal(x, X)


@contextlib.contextmanager
def weights(net: Network, value: float) -> Iterator[Network]:
    with torch.no_grad():
        net.readout.weight.fill_(value)
    yield net


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"jacobian", "transfer"}))
def test_no_measure_gives_a_number_for_logits_that_are_not_finite(name: str, value: float) -> None:
    """argmax of NaNs is a class too, so the accuracy would look valid."""
    with weights(Network().eval(), value) as net:
        with pytest.raises(ValueError, match=r"must give finite|must be finite"):
            MEASURES[name](net, X, torch.arange(12) % 3)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda x: (x.flatten(1), None), r"got tuple"),
        (lambda x: x, r"got \(12, 1, 4, 4\)"),
        (lambda x: x.flatten(1)[:, :1], r"two classes or more.*got \(12, 1\)"),
        (lambda x: x.flatten(1)[:-1], r"got \(11, 16\)"),
    ],
)
def test_other_than_logits_is_refused(model: Any, message: str) -> None:
    for name in ("predict", "median_lead", "gradient_sizes", "gradient_signs", "accuracy_along"):
        with pytest.raises(ValueError, match=rf"model must return logits.*{message}"):
            batch = 12 if name == "predict" else 1000
            if name == "predict":
                measures.predict(model, X, batch)
            else:
                MEASURES[name](model, X, torch.arange(12) % 3)


def test_mistakes_are_one_sentence() -> None:
    net, y = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.arange(12) % 3
    for ask in (measures.predict, lambda net, x: measures.gradient_sizes(net, x, y)):
        with pytest.raises(ValueError, match="images must be of the dtype .*float32.*float64"):
            ask(net, X.double())
    for ask in (
        measures.gradient_signs,
        lambda n, x, y: measures.survival(n, x, y, Attack("none")),
    ):
        with pytest.raises(ValueError, match="images must be one or more"):
            ask(net, X[:0], y[:0])
    for labels in (y[:-1], y[:, None]):
        with pytest.raises(ValueError, match=r"labels must be an int64 tensor of shape \(12,\)"):
            check_set(X, labels)
    with pytest.raises(ValueError, match="model must be differentiable"):
        measures.gradient_sizes(lambda x: x.detach().flatten(1), X, y)
    with pytest.raises(ValueError, match="model must be differentiable"):
        measures.gradient_signs(lambda x: net(x.detach()), X, y)
    with pytest.raises(ValueError, match="precision must be that of the images"):
        measures.survival(lambda x: net(x), X, y, Attack("fgsm", precision="float64"))
    with pytest.raises(ValueError, match="got float64, which fails: "):
        single = nn.Sequential(nn.Flatten(), Single())
        measures.survival(single, X, y, Attack("fgsm", precision="float64"))
    for name, value in (("kind", "pdg"), ("loss", "huber"), ("precision", "float16")):
        attack = object.__new__(Attack)
        fields = {"kind": "fgsm", "loss": "margin", "precision": "float32"} | {name: value}
        for field, given in fields.items():
            object.__setattr__(attack, field, given)
        with pytest.raises(ValueError, match=f"{name} must be one of .*, got '{value}'"):
            attack.__post_init__()  # by itself, as the tests' type checks would come first


class Single(nn.Module):
    """A model that computes in float32 even after conversion."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x.float())
        return out


@pytest.mark.gpu
@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"flushed", "jacobian", "walk", "resolve"}))
def test_nothing_is_changed_on_a_gpu(name: str) -> None:
    """This includes its random state."""
    net, here = Network().cuda().train(), torch.arange(12) % 3
    before, state = held(net), torch.cuda.get_rng_state()
    MEASURES[name](net, X.cuda(), here.cuda())
    after = held(net)
    for key, value in before.items():
        now = after[key]
        assert torch.equal(value, now) if isinstance(value, Tensor) else value == now, key
    assert torch.equal(state, torch.cuda.get_rng_state())


@pytest.mark.gpu
def test_flushing_is_refused_on_a_gpu() -> None:
    """There it would have no effect, and the accuracy would be that of float32."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).cuda()
    with pytest.raises(ValueError, match="flush must be False on a GPU"):
        measures.survival(net, X.cuda(), (torch.arange(12) % 3).cuda(), Attack("fgsm", flush=True))


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.bool, torch.float32])
def test_labels_of_another_dtype_are_refused(kind: torch.dtype) -> None:
    """Some functions would work with them, and others fail inside torch."""
    with pytest.raises(ValueError, match=f"labels must be an int64 tensor .* of {kind} of"):
        check_set(X, torch.zeros(12, dtype=kind))
    with pytest.raises(ValueError, match="labels must be an int64 tensor .*, got ndarray"):
        check_set(X, torch.zeros(12, dtype=torch.int64).numpy())
