"""Models that are not what a search assumes: every verb gives the right answer, or refuses with the words that help.

Each kind of model is a twin of a linear one, whose answers are known in closed form: a margin m = w x + b falls by
eps |w|_1 in the ball of l_inf, and the nearest error lies at m / |w|_1. The caller's tensors, modes, gradients, hooks
and random numbers are as they were.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import maxslope as ms
from maxslope.attacks import Effort, recipes

EPS = 0.06
BUDGET = ms.Linf(EPS)
SHORT = Effort((recipes.ifgsm(3),))
W = torch.tensor([[1.0, -0.5, 0.25, 0.75], [-0.5, 1.0, 0.5, -0.25]])  # of two classes
X = torch.tensor(
    [
        [0.50, 0.52, 0.48, 0.50],
        [0.60, 0.40, 0.50, 0.55],
        [0.52, 0.50, 0.45, 0.50],
        [0.40, 0.70, 0.60, 0.35],
        [0.72, 0.30, 0.40, 0.65],
        [0.45, 0.60, 0.55, 0.40],
        [0.50, 0.58, 0.60, 0.46],
        [0.35, 0.62, 0.70, 0.45],
    ]
)


class Linear(nn.Module):
    """The good twin."""

    def __init__(self, weight: Tensor = W) -> None:
        super().__init__()
        self.last = nn.Linear(4, weight.shape[0])
        with torch.no_grad():
            self.last.weight.copy_(weight)
            self.last.bias.copy_(-0.5 * weight.sum(1))
        self.eval()

    def forward(self, z: Tensor) -> Tensor:
        return self.last(z)


class After(nn.Module):
    """A module that changes the logits of the good twin, and may have layers of its own."""

    def __init__(self, change: Callable[..., Any], **layers: nn.Module) -> None:
        super().__init__()
        self.net, self.change = Linear(), change
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.eval()

    def forward(self, z: Tensor) -> Any:
        return self.change(self, z)


NET = Linear()
Y = NET(X).argmax(1)
NORMS = (NET(X)[torch.arange(8), Y] - NET(X)[torch.arange(8), 1 - Y]).detach() / (W[0] - W[1]).abs().sum()
BROKEN = NORMS < EPS
NOBODY = torch.zeros(8, dtype=torch.bool)


def test_the_samples_tell_right_from_wrong() -> None:
    assert 0 < int(BROKEN.sum()) < 8
    assert bool(((NORMS - EPS).abs() > 0.1 * EPS).all())
    assert set(Y.tolist()) == {0, 1}


# --- what every verb says ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """The verdicts of a verb; None where it says nothing of the kind."""

    broken: list[bool] | None = None
    non_finite: list[bool] | None = None
    norms: Tensor | None = None
    robust: int | None = None
    loss: float | None = None


def by_attack(model: Any, x: Tensor, y: Tensor) -> Said:
    result = ms.attack(model, x, y, BUDGET, effort=SHORT)
    return Said(result.broken.tolist(), result.non_finite.tolist())


def by_square(model: Any, x: Tensor, y: Tensor) -> Said:
    result = ms.attack(model, x, y, BUDGET, recipe=recipes.square(40))
    return Said(result.broken.tolist(), result.non_finite.tolist())


def by_evaluate(model: Any, x: Tensor, y: Tensor) -> Said:
    verdicts = ms.evaluate(model, (x, y), BUDGET, effort=SHORT, probe=False).table["verdict"]
    broken = [verdict in ("broken", "misclassified") for verdict in verdicts]
    return Said(broken, [verdict == "non-finite" for verdict in verdicts])


def by_minimal(model: Any, x: Tensor, y: Tensor) -> Said:
    result = ms.minimal(model, x, y, ms.Lp(math.inf), effort=ms.Effort(passes=12))
    return Said(non_finite=result.non_finite.tolist(), norms=result.norms)


def by_assert_robust(model: Any, x: Tensor, y: Tensor) -> Said:
    try:
        found = ms.assert_robust(model, (x, y), BUDGET, at_least=0.01, confidence=0.1, effort=SHORT, strict=False)
    except AssertionError:
        return Said(robust=0)
    return Said(robust=found.robust)


def by_risk(model: Any, x: Tensor, y: Tensor) -> Said:
    loss = ms.AdversarialRisk(BUDGET)(model, x, y)
    return Said(loss=float(loss.detach()))


GRADIENTS = (by_attack, by_evaluate, by_minimal, by_assert_robust, by_risk)
VERBS = (*GRADIENTS, by_square)
Verb = Callable[[Any, Tensor, Tensor], Said]


def right(said: Said, broken: Tensor, norms: Tensor, non_finite: Tensor, slack: float = 0.0) -> None:
    """The verdicts are those of the closed form."""
    lost = broken & ~non_finite
    if said.broken is not None:
        assert said.broken == lost.tolist()
    if said.non_finite is not None:
        assert said.non_finite == non_finite.tolist()
    if said.norms is not None:
        known = ~non_finite
        torch.testing.assert_close(said.norms[known], norms[known].to(said.norms), rtol=0.05, atol=0.004 + slack)
    if said.robust is not None:
        assert said.robust == int((~lost & ~non_finite).sum())


# --- the kinds --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """A kind of model, and what is right for it.

    Attributes:
        make: returns the model.
        broken: which samples are broken.
        norms: the distances of their nearest errors.
        non_finite: which samples have no answer.
        words: parts of the message, where the model is refused.
        hint: a part of the warning, where it is not.
        random: whether verdicts are of chance, and not compared.
        own: whether the model changes its own state.
        spared: verbs that do without what the message says.
        skips: verbs that are not asked.
        y: labels.
    """

    make: Callable[[], Any]
    broken: Tensor = BROKEN
    norms: Tensor = NORMS
    non_finite: Tensor = NOBODY
    words: tuple[str, ...] = ()
    hint: str = ""
    random: bool = False
    own: bool = False
    spared: tuple[Verb, ...] = ()
    skips: tuple[Verb, ...] = ()
    y: Tensor = Y
    slack: float = 0.0


class InPlace(Linear):
    def forward(self, z: Tensor) -> Tensor:
        z.sub_(0.5).mul_(2)
        return self.last(z.div_(2).add_(0.5))


class Flips(Linear):
    """Puts itself into training mode whenever it is called."""

    def forward(self, z: Tensor) -> Tensor:
        self.train()
        return self.last(z)


class Counts(Linear):
    calls = 0

    def forward(self, z: Tensor) -> Tensor:
        self.calls += 1
        return self.last(z)


class Drifts(Linear):
    """Its answers depend on how often it was asked."""

    calls = 0

    def forward(self, z: Tensor) -> Tensor:
        self.calls += 1
        return self.last(z) * (1 + self.calls % 3)


class Buffered(Linear):
    """Returns the same memory at every call, as a captured graph does."""

    memory: Tensor | None = None

    def forward(self, z: Tensor) -> Tensor:
        out = self.last(z)
        if out.requires_grad:
            return out
        if self.memory is None or self.memory.shape != out.shape:
            self.memory = torch.empty_like(out)
        return self.memory.copy_(out)


class Recurrent(nn.Module):
    def __init__(self, kind: Any = nn.LSTM) -> None:
        super().__init__()
        self.r, self.last = kind(2, 4, num_layers=2, dropout=0.5, batch_first=True), nn.Linear(4, 2)

    def forward(self, z: Tensor) -> Tensor:
        return self.last(self.r(z.reshape(-1, 2, 2))[0][:, -1])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.last = nn.MultiheadAttention(2, 1, dropout=0.5, batch_first=True), nn.Linear(2, 2)

    def forward(self, z: Tensor) -> Tensor:
        z = z.reshape(-1, 2, 2)
        return self.last(self.a(z, z, z)[0].mean(1))


class Functional(Linear):
    def forward(self, z: Tensor) -> Tensor:
        return self.last(nn.functional.dropout(z, 0.5, self.training))


class Compiled:
    """A callable that hides its module."""

    def __init__(self) -> None:
        self._orig_mod = Linear()

    def __call__(self, z: Tensor) -> Tensor:
        return self._orig_mod(z)


def difference(z: Tensor) -> Tensor:
    out = NET(z)
    return out[:, 1] - out[:, 0]


def autocast(z: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return NET(z)


def only(count: int) -> Callable[[Tensor], Tensor]:
    return lambda z: NET(z.reshape(count, 4))


def at_least(count: int) -> Callable[[Tensor], Tensor]:
    def model(z: Tensor) -> Tensor:
        if z.shape[0] < count:
            raise RuntimeError("too few rows")
        return NET(z)

    return model


def with_column(value: float) -> Callable[[Tensor], Tensor]:
    return lambda z: torch.cat([NET(z), torch.full((z.shape[0], 1), value, dtype=z.dtype)], 1)


def nan_where(condition: Callable[[Tensor], Tensor], value: float = math.nan) -> Callable[[Tensor], Tensor]:
    return lambda z: torch.where(condition(z)[:, None], value, NET(z))


def hooked() -> nn.Module:
    net = Linear(-W)
    net.register_forward_hook(lambda _m, _a, out: -out)
    return net


def frozen() -> nn.Module:
    return Linear().requires_grad_(False)


def with_gradients() -> nn.Module:
    net = Linear()
    net(X).sum().backward()
    return net


def inference_weights() -> nn.Module:
    with torch.inference_mode():
        return Linear()


def by_numpy(z: Tensor) -> Tensor:
    return torch.from_numpy(z.numpy() @ W.T.numpy()) - 0.5 * W.sum(1)


def observed() -> nn.Module:
    class FakeQuantizeBase(nn.Module):
        observer_enabled = torch.ones(1)

        def forward(self, z: Tensor) -> Tensor:
            return z

    return After(lambda m, z: m.net(m.seen(z)), seen=FakeQuantizeBase())


MARGINS = (X[:, 0] - X[:, 1]).abs() / 2  # of a model that returns its first two coordinates
LABELS = (X[:, 1] > X[:, 0]).long()
SORTED = X.sort(1, descending=True).values
NEXT = (SORTED[:, 0] - SORTED[:, 1]) / 2  # of a model that returns its input
BESIDE = torch.linspace(-9, 9, 32).reshape(16, 2).flip(1) * torch.tensor([1.0, -1.0])
EVERYBODY = torch.ones(8, dtype=torch.bool)
FAR = torch.full((8,), math.inf)
FEW = X[:, 0] > 0.55  # two of them, more than eps from the others

KINDS = {
    # works as it is
    "the good twin": Kind(Linear),
    "in place at the input": Kind(InPlace),
    "in place further on": Kind(lambda: lambda z: NET(z).mul_(2).add_(1)),
    "in place relu": Kind(lambda: nn.Sequential(nn.ReLU(inplace=True), Linear()).eval()),
    "half logits": Kind(lambda: lambda z: NET(z).half()),
    "bfloat16 logits": Kind(lambda: lambda z: NET(z).bfloat16(), slack=0.05),
    "double logits": Kind(lambda: lambda z: NET(z).double()),
    "double inside": Kind(lambda: lambda z: copy.deepcopy(NET).double()(z.double())),
    "autocast inside": Kind(lambda: autocast, slack=0.05),
    "a column of logits": Kind(lambda: lambda z: difference(z)[:, None]),
    "logits without an axis": Kind(lambda: difference),
    "a call of 16 or more": Kind(lambda: at_least(16), skips=(by_risk,)),
    "a call of 16": Kind(lambda: only(16), skips=(by_risk,)),
    "a class of -inf": Kind(lambda: with_column(-math.inf)),
    "a class of -1e9": Kind(lambda: with_column(-1e9)),
    "all other classes -inf": Kind(
        lambda: lambda z: torch.stack([z.sum(1), torch.full((z.shape[0],), -math.inf)], 1),
        broken=NOBODY, norms=FAR, y=torch.zeros(8, dtype=torch.int64),
    ),
    "constant": Kind(lambda: lambda z: 0 * NET(z) + torch.tensor([1.0, 0.0]), NOBODY, FAR, y=torch.zeros_like(Y)),
    "frozen weights": Kind(frozen),
    "gradients on the weights": Kind(with_gradients),
    "a hook that changes the output": Kind(hooked),
    "training mode for itself": Kind(Flips, own=True),
    "a counter": Kind(Counts, own=True),
    "the same memory at every call": Kind(Buffered, own=True),
    "a view of its input": Kind(lambda: lambda z: z[:, :2], MARGINS < EPS, MARGINS, y=LABELS),
    "its input": Kind(lambda: lambda z: z, NEXT < EPS, NEXT, y=X.argmax(1)),
    "its input, in place": Kind(lambda: lambda z: z.mul_(3), NEXT < EPS, NEXT, y=X.argmax(1)),
    "data parallel": Kind(lambda: nn.DataParallel(Linear()).eval()),
    "traced": Kind(lambda: torch.jit.trace(Linear(), X)),
    "a graph module": Kind(lambda: torch.fx.symbolic_trace(Linear())),
    "a module inside a callable": Kind(Compiled),
    "recurrent, evaluating": Kind(lambda: After(lambda m, z: m.net(z) + 0 * m.r(z)[0][:, :2], r=nn.GRU(4, 2))),
    "training, harmless": Kind(lambda: Linear().train(), hint="no layer here depends on it", spared=(by_risk,)),
    # without an answer
    "NaN for some": Kind(lambda: nan_where(lambda z: z[:, 0] > 0.57), non_finite=X[:, 0] > 0.57),
    "NaN at once": Kind(lambda: lambda z: NET(z) * math.nan, non_finite=EVERYBODY),
    "+inf": Kind(lambda: with_column(math.inf), non_finite=EVERYBODY),
    "-inf for all classes of some": Kind(
        lambda: nan_where(lambda z: z[:, 0] > 0.57, -math.inf), non_finite=X[:, 0] > 0.57
    ),
    # noted
    "probabilities": Kind(lambda: lambda z: NET(z).softmax(1), hint="look like probabilities"),
    "perhaps a probability": Kind(
        lambda: lambda z: 0.5 + 0 * z[:, 0] + z[:, 1] / 9, NOBODY, FAR, hint="in [0, 1]", y=torch.ones_like(Y)
    ),
    "noise": Kind(lambda: lambda z: NET(z) + torch.randn(z.shape[0], 2), hint="ms.Randomized", random=True),
    "dropout forever": Kind(
        lambda: lambda z: nn.functional.dropout(NET(z), 0.5), hint="ms.Randomized", random=True
    ),
    "answers that drift": Kind(Drifts, hint="changes its own state", random=True, own=True),
    # refused: outputs
    "a tuple": Kind(lambda: lambda z: (NET(z), z), words=("tensor of logits", "tuple", "model(x)[0]")),
    "a dict": Kind(lambda: lambda z: {"loss": 0, "logits": NET(z)}, words=("dict", "model(x)['logits']")),
    "nothing": Kind(lambda: lambda z: None, words=("None", "return")),
    "an array": Kind(lambda: lambda z: NET(z).detach().numpy(), words=("ndarray", "torch.from_numpy", "square")),
    "integers": Kind(lambda: lambda z: NET(z).argmax(1), words=("torch.int64", "before the argmax")),
    "truth values": Kind(lambda: lambda z: NET(z) > 0, words=("torch.bool", "floating-point")),
    "complex": Kind(lambda: lambda z: torch.complex(NET(z), NET(z)), words=("complex64", ".abs()")),
    "sparse": Kind(lambda: lambda z: NET(z).to_sparse(), words=("sparse", "to_dense")),
    "another number of rows": Kind(lambda: lambda z: NET(z)[None], words=("[rows, classes]", "rows")),
    "a scalar": Kind(lambda: lambda z: NET(z).sum(), words=("[rows, classes]", "()")),
    "no classes": Kind(lambda: lambda z: NET(z)[:, :0], words=("at least one", ", 0)")),
    "a sigmoid": Kind(lambda: lambda z: difference(z)[:, None].sigmoid(), words=("probability", "torch.logit")),
    "a softmax of one column": Kind(lambda: lambda z: NET(z).softmax(1)[:, 1], words=("probability", "torch.logit")),
    # refused: company
    "statistics of the batch": Kind(
        lambda: After(lambda m, z: m.norm(m.net(z)), norm=nn.BatchNorm1d(2, track_running_stats=False)),
        words=("rows beside it", "norm (BatchNorm1d)", "running"),
    ),
    "a mean over the batch": Kind(
        lambda: After(lambda m, z: m.net(z) - m.net(z).mean(0)), words=("rows beside it", "After", "batch_size=1")
    ),
    "a tensor with rows of its own": Kind(
        lambda: lambda z: NET(z) + BESIDE[: z.shape[0]], words=("rows beside it", "context=(...)")
    ),
    "a tensor for all rows": Kind(
        lambda: lambda z: NET(z) + BESIDE[:8], words=("context=(...)",)
    ),
    "a call of 8": Kind(lambda: only(8), words=("batch_size=8",), spared=(by_risk,)),
    # refused: gradients, modes, states
    "detached": Kind(lambda: lambda z: NET(z).detach(), words=("differentiably",), spared=(by_square,)),
    "numpy": Kind(lambda: by_numpy, words=("differentiably", "numpy", "square"), spared=(by_square,)),
    "recurrent dropout": Kind(lambda: Recurrent().train(), words=("r make", "model.eval()"), spared=(by_risk,)),
    "gated dropout": Kind(lambda: Recurrent(nn.GRU).train(), words=("r make", "model.eval()"), spared=(by_risk,)),
    "attention dropout": Kind(lambda: Attention().train(), words=("a make", "model.eval()"), spared=(by_risk,)),
    "functional dropout": Kind(lambda: Functional().train(), words=("Functional", "model.eval()"), spared=(by_risk,)),
    "a transformer": Kind(
        lambda: After(
            lambda m, z: m.net(z + m.t(z[:, None])[:, 0]),
            t=nn.TransformerEncoderLayer(4, 1, 4, dropout=0.1, batch_first=True),
        ).train(),
        words=("t.", "model.eval()"), spared=(by_risk,),
    ),
    "instance statistics": Kind(
        lambda: After(
            lambda m, z: m.net(m.n(z[:, None])[:, 0]), n=nn.InstanceNorm1d(1, track_running_stats=True)
        ).train(),
        words=("n make", "model.eval()"), spared=(by_risk,),
    ),
    "spectral norm": Kind(
        lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 2))).train(),
        words=("0.parametrizations", "model.eval()"), spared=(by_risk,),
    ),
    "spectral norm, the old one": Kind(
        lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 2))).train(),
        words=("0 make", "model.eval()"), spared=(by_risk,),
    ),
    "observers": Kind(observed, words=("Observers", "disable_observer"), skips=(by_risk,)),
    "lazy": Kind(
        lambda: nn.Sequential(nn.LazyLinear(2)).eval(),
        words=("layers without weights", "model(x[:2])"), skips=(by_risk,),
    ),
    "weights of inference mode": Kind(inference_weights, words=("inference_mode", "deepcopy"), skips=(by_risk,)),
    "a class, not an instance": Kind(lambda: Linear, words=("instance", "Linear(...)"), skips=(by_risk,)),
}  # fmt: skip


def state_of(model: Any) -> dict[str, Any]:
    """What must not change: values, modes, gradients and hooks of a module."""
    if not isinstance(model, nn.Module):
        return {}
    lazy = torch.nn.parameter.is_lazy
    tensors = [t for t in (*model.parameters(), *model.buffers()) if not lazy(t)]
    return {
        "values": [t.detach().clone() for t in tensors],
        "gradients": [None if t.grad is None else t.grad.clone() for t in tensors],
        "asked": [t.requires_grad for t in tensors],
        "modes": [m.training for m in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks) for m in model.modules()],
    }


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return len(a) == len(b) and all(same(p, q) for p, q in zip(a, b, strict=True))
    return torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", KINDS)
def test_a_model_gets_a_right_answer_or_the_words_that_help(name: str, verb: Verb) -> None:
    kind = KINDS[name]
    if verb in kind.skips:
        return
    model, x, y = kind.make(), X.clone(), kind.y.clone()
    before, chance = state_of(model), torch.get_rng_state()
    refused = bool(kind.words) and verb not in kind.spared
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        if refused:
            with pytest.raises((ValueError, TypeError)) as raised:
                verb(model, x, y)
            for part in kind.words:
                assert part in str(raised.value), str(raised.value)
        else:
            said = verb(model, x, y)
            if not kind.random:
                right(said, kind.broken, kind.norms, kind.non_finite, kind.slack)
    heard = [str(w.message) for w in seen if issubclass(w.category, ms.MaxslopeWarning)]
    if kind.hint and verb not in kind.spared:
        assert any(kind.hint in sentence for sentence in heard), heard
    assert torch.equal(x, X)
    assert torch.equal(y, kind.y)
    trained = verb is by_risk and bool(kind.words)  # training may well draw, and change a state
    if not kind.random and not trained:
        assert torch.equal(torch.get_rng_state(), chance)
    if not kind.own and not trained:
        after = state_of(model)
        assert [key for key in before if not same(before[key], after[key])] == []


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.words and not kind.random])
def test_training_sees_the_loss_of_the_good_twin(name: str) -> None:
    """Where logits are the same numbers, so is the loss at the worst points."""
    same_numbers = ("in place", "half", "double", "column", "without", "-inf", "-1e9", "frozen", "hook", "memory")
    if not any(part in name for part in same_numbers) or "further" in name or KINDS[name].y is not Y:
        return
    if bool(KINDS[name].non_finite.any()):
        return
    assert by_risk(KINDS[name].make(), X, Y).loss == pytest.approx(by_risk(Linear(), X, Y).loss, rel=1e-3)


# --- modes of the caller ----------------------------------------------------------------------------------------------

MODES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("mode", MODES)
def test_the_mode_of_the_caller_does_not_matter(mode: str, verb: Verb) -> None:
    model = Linear()
    with MODES[mode]():
        said = verb(model, X.clone(), Y.clone())
    right(said, BROKEN, NORMS, NOBODY, 0.05 if mode == "autocast" else 0.0)


@pytest.mark.parametrize("verb", VERBS)
def test_tensors_made_in_inference_mode_are_tensors(verb: Verb) -> None:
    with torch.inference_mode():
        x, y = X.clone(), Y.clone()
    right(verb(Linear(), x, y), BROKEN, NORMS, NOBODY)


def test_an_outer_autocast_is_the_caller_s_and_keeps_no_memory_of_the_search() -> None:
    """The model answers as it does for the caller there, and his next call has gradients on the weights."""
    seen: list[torch.dtype] = []
    net = Linear()

    def model(z: Tensor) -> Tensor:
        out = net(z)
        seen.append(out.dtype)
        return out

    with torch.autocast("cpu", torch.bfloat16):
        ms.attack(model, X, Y, BUDGET, effort=SHORT)
        net(X).float().sum().backward()
    assert set(seen) == {torch.bfloat16}
    assert net.last.weight.grad is not None


# --- what was found, and how often was asked --------------------------------------------------------------------------


class Asked:
    """Counts the rows of all calls."""

    def __init__(self, model: Callable[[Tensor], Tensor]) -> None:
        self.model, self.rows = model, 0

    def __call__(self, z: Tensor) -> Tensor:
        self.rows += z.shape[0]
        return self.model(z)


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
@pytest.mark.parametrize("tile", [None, 1, 4, 8, 16])
def test_looking_at_a_model_costs_little_and_is_counted(rows: int, tile: int | None) -> None:
    asked = Asked(NET)
    network = ms.energies.Network(asked, tile)
    network.inspect(X[:rows])
    size = tile or rows
    assert network.notes == []
    assert network.executed.passes() == (asked.rows, 0)
    assert asked.rows <= 3 * size + rows


@pytest.mark.parametrize("rows", [2, 3, 8])
@pytest.mark.parametrize("tile", [None, 2, 4, 8, 16])
def test_company_is_noticed_in_every_number_of_rows(rows: int, tile: int | None) -> None:
    dependent = {
        "mean": lambda z: NET(z) - NET(z).mean(0),
        "largest": lambda z: NET(z) / NET(z).abs().max(),
        "place": lambda z: NET(z) + BESIDE[: z.shape[0]],
        "excluded": lambda z: torch.cat([NET(z) - NET(z).mean(0), torch.full((z.shape[0], 1), -1e9)], 1),
    }
    for model in dependent.values():
        asked = Asked(model)
        network = ms.energies.Network(asked, tile)
        with pytest.raises(ValueError, match="rows beside it"):
            network.inspect(X[:rows])
        assert network.executed.passes() == (asked.rows, 0)


def test_a_mean_that_only_the_number_of_rows_shows() -> None:
    with pytest.raises(ValueError, match="rows beside it"):
        ms.energies.Network(lambda z: NET(z) * z.shape[0], 16).inspect(X[:1])
    ms.energies.Network(lambda z: NET(z) * z.shape[0], 8).inspect(X)  # of one size for ever: fine


def test_batch_size_one_asks_about_each_sample_alone() -> None:
    """The advice of the refusal, followed: verdicts are those of the model on single samples."""
    model = After(lambda m, z: m.net(z) + 0.3 * (z.mean(0) - 0.5)[:2])
    single = torch.cat([model(row[None]) for row in X]).detach()
    y = single.argmax(1)
    result = ms.attack(model, X, y, BUDGET, effort=SHORT, batch_size=1)
    again = torch.cat([model(row[None]) for row in result.points]).argmax(1) != y
    assert torch.equal(result.broken, again)
    assert result.broken.any()


def test_a_second_input_is_context() -> None:
    """The advice of the refusal, followed: rows and their companions are moved together."""
    beside = torch.linspace(-0.2, 0.2, 16).reshape(8, 2)
    y = (NET(X) + beside).argmax(1)
    with pytest.raises(ValueError, match="context="):
        ms.attack(lambda z: NET(z) + beside, X, y, BUDGET, effort=SHORT)
    result = ms.attack(lambda z, b: NET(z) + b, X, y, BUDGET, effort=SHORT, context=(beside,))
    assert torch.equal(result.broken, (NET(result.points) + beside).argmax(1) != y)
    way = torch.where((y == 0)[:, None], W[1] - W[0], W[0] - W[1]).sign()
    assert torch.equal(result.broken, (NET(X + EPS * way) + beside).argmax(1) != y)


@pytest.mark.parametrize("fixed", [lambda m: lambda z: torch.logit(m(z), eps=1e-6), lambda m: lambda z: 1 * m(z)])
def test_the_ways_out_of_a_probability(fixed: Callable[[Any], Any]) -> None:
    sigmoid = lambda z: difference(z).sigmoid()  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.MaxslopeWarning)
        report = ms.evaluate(fixed(sigmoid), (X, Y), BUDGET, effort=SHORT, probe=False)
    opted_out = bool((fixed(sigmoid)(X) >= 0).all())
    assert report.clean_accuracy == (float((Y == 1).float().mean()) if opted_out else 1.0)


def test_a_sigmoid_that_is_a_regression_is_left_alone() -> None:
    network = ms.energies.Network(lambda z: NET(z)[:, :1].sigmoid(), 16)
    network.inspect(X, logits=False)
    assert network.notes == []


@pytest.mark.parametrize("name", ["probabilities", "noise"])
def test_notes_reach_the_report(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ms.MaxslopeWarning)
        report = ms.evaluate(KINDS[name].make(), (X, Y), BUDGET, effort=SHORT, probe=False)
    said = " ".join(f"{found} {found.meaning}" for found in report.warnings)
    assert KINDS[name].hint in said or name in {found.name for found in report.warnings}, said


def test_a_copy_made_outside_of_inference_mode_works() -> None:
    right(by_attack(copy.deepcopy(inference_weights()), X, Y), BROKEN, NORMS, NOBODY)


def test_verdicts_are_the_signs_of_the_model_s_own_precision() -> None:
    """Logits in double that differ by less than float32 sees: the sign is the model's."""
    network = ms.energies.Network(lambda z: 1 + 1e-12 * NET(z).double(), 8)
    out = network.all_outputs(X)
    assert out.dtype == torch.float64
    assert torch.equal(out.argmax(1), Y)
    half = ms.energies.Network(lambda z: NET(z.float()), 8).all_outputs(X.half())
    assert half.dtype == torch.float32


def test_low_precision_is_not_taken_for_company() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(*[layer for _ in range(6) for layer in (nn.Linear(4, 4), nn.Tanh())]).bfloat16().eval()
    network = ms.energies.Network(net, 16)
    network.inspect(X.bfloat16())
    assert network.notes == []


def test_inputs_of_a_size_that_the_model_cannot_take_are_told_with_it() -> None:
    """And what only the number of rows of a call breaks is told as that, in the model's own words."""
    x, y = torch.rand(30, 1, 4, 4), torch.arange(30) % 3
    for wrong in (nn.Linear(9, 3), nn.Conv2d(1, 2, 7), nn.Conv2d(3, 2, 1)):
        with pytest.raises(ValueError, match=r"fails on images of 4 x 4 pixels and 1 channel \(RuntimeError: .*--size"):
            ms.attack(wrong.eval(), x, y, ms.Linf(0.1))
    with pytest.raises(ValueError, match=r"fails on inputs of shape \(16,\)"):
        ms.attack(nn.Linear(9, 3).eval(), x.flatten(1), y, ms.Linf(0.1))
    held, net = torch.rand(30, 3), nn.Linear(16, 3)
    for rows in (lambda z: net(z.flatten(1)) + held, lambda z: net(z.reshape(30, 16))):
        with pytest.raises(ValueError, match=r"works on all 30 rows, but fails on a call of 16 \(RuntimeError: .*size"):
            ms.attack(rows, x, y, ms.Linf(0.1))


@pytest.mark.parametrize("gray", [True, False])
def test_gray_images_with_three_channels_are_told_so(gray: bool) -> None:
    """Readers of folders give three channels always; the way out works."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 2)).eval()
    x = torch.rand(3, 1, 8, 8).expand(3, 3, 8, 8).clone()
    if not gray:
        x[0, 1, 0, 0] = 0.5
    y = torch.tensor([0, 1, 0])
    with pytest.raises(ValueError, match="give it inputs of the size and channels it was made for") as refused:
        ms.attack(model, x, y, ms.Linf(0.1))
    way = "These are gray: a model of one channel takes them as lambda x: model(x[:, :1])"
    assert (way in str(refused.value)) == gray
    ms.attack(lambda x: model(x[:, :1]), x, y, ms.Linf(0.1), recipe=ms.recipes.fgsm())
