"""Small two-layer networks as symbols, their loss, and the signed permutations that keep it."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product, starmap
from typing import Any

import mpmath
import sympy as sp

from maxslope.integrability.exact import FUNCTIONS, exact, is_zero, number


@dataclass(frozen=True)
class State:
    """A function u(z) behind an activation: its name, u, its derivative as a polynomial in z and states, and u(0)."""

    name: str
    function: Callable[[sp.Expr], sp.Expr]
    rate: str
    start: str


@dataclass(frozen=True)
class Activation:
    """A real-analytic activation: a name and a function on sympy expressions.

    For the checker, which knows no functions, an activation is a polynomial `value` in z and in
    `states`, which solve differential equations in z. Without them a verdict is the same, but its
    certificate holds the equation alone.

    Args:
        name: what it is called; the checker has rules of its own for the names in `CHECKED`.
        function: the activation on sympy expressions.
        power: k for z^k.
        value: the activation as a polynomial in z and the names of the states.
        states: the states.

    >>> Activation("swish", lambda z: z / (1 + sp.exp(-z))).name
    'swish'
    >>> gate = State("u", lambda z: 1 / (1 + sp.exp(-z)), "u - u^2", "1/2")
    >>> Activation("swish", lambda z: z / (1 + sp.exp(-z)), value="z*u", states=(gate,)).named
    False
    """

    name: str
    function: Callable[[sp.Expr], sp.Expr]
    power: int | None = None
    value: str | None = None
    states: tuple[State, ...] = ()

    @property
    def named(self) -> bool:
        """Whether it is one whose rule the checker knows by its name."""
        return self in CHECKED


def monomial(k: int) -> Activation:
    """The activation z**k."""
    return Activation(f"z^{k}", lambda z: z**k, k)


def _decay(z: sp.Expr) -> sp.Expr:
    return 1 / sp.sqrt(1 + z**2)


_sigmoid = FUNCTIONS["sigmoid"]
TANH = Activation("tanh", sp.tanh, None, "u", (State("u", sp.tanh, "1 - u^2", "0"),))
TAN = Activation("tan", sp.tan, None, "u", (State("u", sp.tan, "1 + u^2", "0"),))
ALGEBRAIC = Activation("z/sqrt(1+z^2)", lambda z: z * _decay(z), None, "z*u", (State("u", _decay, "-z*u^3", "1"),))
SIGMOID = Activation("sigmoid", _sigmoid, None, "u", (State("u", _sigmoid, "u - u^2", "1/2"),))
SIN = Activation("sin", sp.sin, None, "u", (State("u", sp.sin, "t", "0"), State("t", sp.cos, "-u", "1")))
CHECKED = (TANH, TAN, ALGEBRAIC, SIGMOID, SIN)
SOFTPLUS = Activation("softplus", FUNCTIONS["softplus"])
ERF = Activation("erf", sp.erf)
ATAN = Activation("atan", sp.atan)
LINEAR = monomial(1)

Sample = tuple[Any, Any]


@dataclass(frozen=True)
class NarrowNetwork:
    r"""f(x) = sum_j a_j s(w_j x + b_j) + c on samples (x_i, y_i), with squared loss.

    $L = \tfrac12 \sum_i (f(x_i) - y_i)^2$ and the flow is $\theta' = -\nabla L$. The parameters
    are (a, w, b, c) for one neuron and (a1, w1, b1, a2, w2, b2, ..., c) otherwise, without the
    biases that are switched off.

    Args:
        activation: the function s.
        data: exact samples (integers, strings such as "3/2", sympy numbers).
        neurons: number of hidden neurons.
        bias: whether b_j and c are present.

    Raises:
        ValueError: if a sample is no pair of exact numbers, or another argument is of another kind.

    Source: our own reconstruction in the spirit of arXiv:2408.08286, not the setting of that paper.

    >>> NarrowNetwork(TANH, ((1, 2),), bias=False).loss()
    (a*tanh(w) - 2)**2/2
    """

    activation: Activation
    data: tuple[Sample, ...]
    neurons: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        if type(self.neurons) is not int or self.neurons < 1:
            raise ValueError(f"the number of neurons must be an integer of at least 1; got {self.neurons!r}.")
        if type(self.bias) is not bool:
            raise ValueError(f"bias must be True or False; got {self.bias!r}.")
        if not isinstance(self.activation, Activation):
            raise ValueError(f"the activation must be an Activation, such as TANH; got {self.activation!r}.")
        data: Any = self.data
        if isinstance(data, str) or not isinstance(data, Sequence) or not data:
            raise ValueError(f"the data must be pairs (x, y), such as ((1, 2), (-1, -2)); got {data!r}.")
        for sample in data:
            if isinstance(sample, str) or not isinstance(sample, Sequence) or len(sample) != 2:
                raise ValueError(f"a sample must be a pair (x, y), such as (1, 2); got {sample!r}.")
            for value in sample:
                number(value, "a number of a sample")

    @property
    def samples(self) -> tuple[tuple[sp.Expr, sp.Expr], ...]:
        """The samples as sympy numbers."""
        return tuple((exact(x), exact(y)) for x, y in self.data)

    @property
    def sizes(self) -> set[sp.Expr]:
        """The |x_i|."""
        return {sp.simplify(sp.Abs(x)) for x, _ in self.samples}

    @property
    def even(self) -> bool:
        """Whether x -> -x keeps the data."""
        return set(self.samples) == {(-x, y) for x, y in self.samples}

    def neuron(self, j: int) -> tuple[sp.Symbol, ...]:
        """The symbols (a, w) or (a, w, b) of neuron j."""
        mark = "" if self.neurons == 1 else str(j + 1)
        names = ["a", "w"] + (["b"] if self.bias else [])
        return tuple(sp.Symbol(name + mark, real=True) for name in names)

    @property
    def parameters(self) -> tuple[sp.Symbol, ...]:
        """All parameters, in the order used everywhere."""
        inner = [s for j in range(self.neurons) for s in self.neuron(j)]
        return (*inner, *((sp.Symbol("c", real=True),) if self.bias else ()))

    def output(self, x: sp.Expr) -> sp.Expr:
        """f(x)."""
        parts = [self.neuron(j) for j in range(self.neurons)]
        neurons = (a * self.activation.function(w * x + sum(b)) for a, w, *b in parts)
        return sum(neurons, self.parameters[-1] if self.bias else sp.Integer(0))

    def loss(self) -> sp.Expr:
        """Half the sum of squared residuals."""
        return sum(((self.output(x) - y) ** 2 for x, y in self.samples), sp.Integer(0)) / 2

    def gradient(self) -> sp.Matrix:
        """The gradient of the loss as a column."""
        return sp.Matrix([self.loss()]).jacobian(self.parameters).T

    def hessian(self) -> sp.Matrix:
        """The matrix of second derivatives of the loss."""
        return sp.hessian(self.loss(), self.parameters)


@dataclass(frozen=True)
class Symmetry:
    """A signed permutation: coordinate i of g(theta) is sign[i] * theta[index[i]]."""

    index: tuple[int, ...]
    sign: tuple[int, ...]

    def act(self, theta: tuple[Any, ...]) -> tuple[Any, ...]:
        """g(theta)."""
        return tuple(s * theta[i] for s, i in zip(self.sign, self.index, strict=True))

    def matrix(self) -> sp.Matrix:
        """g as a matrix."""
        n = len(self.index)
        return sp.Matrix(n, n, lambda i, j: self.sign[i] if self.index[i] == j else 0)


@dataclass(frozen=True)
class Plane:
    """The fixed space of a symmetry (None: given by the user) and its orthogonal complement; columns span them."""

    symmetry: Symmetry | None
    tangent: sp.Matrix
    normal: sp.Matrix

    def contains(self, theta: tuple[sp.Expr, ...]) -> bool:
        """Whether a point (or a curve) lies in the plane."""
        return all(sp.simplify(e) == 0 for e in self.normal.T * sp.Matrix(theta))


def symmetries(network: NarrowNetwork, digits: int = 40, seed: int = 0) -> Iterator[Symmetry]:
    """All signed permutations g != 1 of the parameters with L(g theta) = L(theta).

    Candidates are tested at three random points, survivors exactly.

    >>> net = NarrowNetwork(TANH, ((1, 2), (-1, -2)))
    >>> [g.sign for g in symmetries(net) if g.index == (0, 1, 2, 3)]
    [(1, 1, -1, -1), (-1, -1, 1, -1), (-1, -1, -1, 1)]
    """
    theta, loss = network.parameters, network.loss()
    value = sp.lambdify(theta, loss, "mpmath")
    rng = random.Random(seed)
    n = len(theta)
    with mpmath.workdps(digits):
        points = [tuple(mpmath.mpf(rng.uniform(-1, 1)) for _ in theta) for _ in range(3)]
        targets = [value(*p) for p in points]
        tolerance = mpmath.mpf(10) ** (10 - digits)
        survivors = [
            g
            for g in starmap(Symmetry, product(permutations(range(n)), product((1, -1), repeat=n)))
            if all(abs(value(*g.act(p)) - t) <= tolerance * (1 + abs(t)) for p, t in zip(points, targets, strict=True))
        ]
    for g in survivors[1:]:  # the first is the identity
        moved = loss.subs(dict(zip(theta, g.act(theta), strict=True)), simultaneous=True)
        if is_zero(moved - loss):
            yield g


def invariant_planes(network: NarrowNetwork) -> list[Plane]:
    """The invariant linear spaces of codimension 2, one for each distinct fixed space.

    >>> planes = invariant_planes(NarrowNetwork(TANH, ((1, 2), (-1, -2))))
    >>> any(p.normal.T.tolist() == [[0, 0, 1, 0], [0, 0, 0, 1]] for p in planes)
    True
    """
    found: dict[str, Plane] = {}
    n = len(network.parameters)
    for g in symmetries(network):
        tangent = (g.matrix() - sp.eye(n)).nullspace()
        if tangent and len(tangent) == n - 2:
            fixed = sp.Matrix.hstack(*tangent)
            normal = sp.Matrix.hstack(*sp.GramSchmidt(fixed.T.nullspace()))
            found.setdefault(str(fixed.T.rref()[0]), Plane(g, fixed, normal))
    return list(found.values())
