"""The neural flow beside the law it follows, for the experiments with decision boundaries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from maxslope._optional import optional
from maxslope.boundary import Grid, signed_distance
from maxslope.boundary.limit import LimitLaw, limit_flow
from maxslope.boundary.neural import Regression, on_grid
from maxslope.boundary.neural_flow import NeuralFlow, Samples, Training, draw, minimize, neural_flow
from maxslope.figures.boundary import draw_network
from maxslope.studies.boundary import Study, apart
from maxslope.studies.problems import longer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH = 64
_JUDGED = 4096  # samples that the attack is asked about


class Scaled(nn.Module):
    """A model of the plane seen from the box [-1, 1]^2: x -> model(center + half side x)."""

    def __init__(self, model: Callable[[Tensor], Tensor], grid: Grid) -> None:
        nn.Module.__init__(self)
        self.model = model
        self.center = [(a + b) / 2 for a, b in zip(grid.low, grid.high, strict=True)]
        self.scale = longer(grid) / 2

    def forward(self, x: Tensor) -> Tensor:
        """Call the model."""
        return self.model(x * self.scale + x.new_tensor(self.center))


def follow(
    study: Study,
    model: Any,
    steps: int,
    path: Path,
    *,
    training: Training | None = None,
    samples: int = 16384,
    seed: int = 0,
) -> tuple[dict[str, Any], Figure]:
    """Run the neural flow of a study's problem with its control; return the numbers, and it drawn beside the law.

    All in the units of a box [-1, 1]^2: networks and their training know one scale. Distances between boundaries are
    means with weight rho, in the problem's own units. The steps divide the study's time; the network is the one that
    the problem starts from, or, of None, fitted to the start. The figure is written at ``path``.

    Raises:
        TypeError: if the model is no module: there are no weights to train.
    """
    if model is not None and not isinstance(model, nn.Module):
        raise TypeError(f"The neural flow trains a torch module, got {type(model).__name__}; leave out --neural.")
    problem = study.problem
    if problem.grid.dim != 2:
        raise ValueError("The neural flow is drawn in the plane; in space call maxslope.boundary.neural_flow.")
    side = longer(problem.grid) / 2
    tau = float(study.curve.time[-1, 0]) / side**2 / steps
    corner = [(b - a) / 2 / side for a, b in zip(problem.grid.low, problem.grid.high, strict=True)]
    grid = Grid(problem.grid.shape, [-c for c in corner], corner)
    drawn = draw(problem.densities, grid, samples, seed)
    training = training or Training(seed=seed)
    if model is not None:
        net: nn.Module = Scaled(model, problem.grid)
    else:
        net = fresh(signed_distance(problem.start, grid), grid, drawn, training.first, seed)
    eps = problem.eps / side
    reach = max(0.25, 2 * eps)
    judged = Samples(drawn.x[:_JUDGED], drawn.labels[:_JUDGED])
    trained, alone = (
        neural_flow(net, drawn, Regression(tau, eps, reach, variation=v), steps=steps, training=training, judged=judged)
        for v in (1.0, 0.0)
    )
    write_networks(trained, path.with_name("networks.safetensors"))
    networks, control = (
        [signed_distance(on_grid(flow.model(k), grid), grid) for k in range(steps + 1)] for flow in (trained, alone)
    )
    law = LimitLaw(grid, problem.densities, eps)
    references = [networks[0]]
    for _ in range(steps):
        references.append(limit_flow(law, references[-1], tau).end[0])
    drawing = draw_network(problem, networks, control[-1], references, tau * side**2, path)

    def gap(a: Tensor, b: Tensor) -> float:  # where there are no samples, a network is bound by nothing
        return apart(a, b, grid, problem.densities.rho) * side

    said = {
        "moved": gap(networks[-1], networks[0]),
        "law_moved": gap(references[-1], networks[0]),
        "gap": gap(networks[-1], references[-1]),
        "control_moved": gap(control[-1], control[0]),
        "robust_risk": trained.robust_risk.tolist(),
        "risk": trained.risk.tolist(),
        "passes_of_risks": trained.passes.sum(0).tolist(),
    }
    return said, drawing


def fresh(start: Tensor, grid: Grid, samples: Samples, iterations: int, seed: int = 0) -> nn.Module:
    """Return a network 2-64-64-64-1 whose boundary is about that of a signed distance, by regression on samples."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for width in (2, _WIDTH, _WIDTH):
            layers += [nn.Linear(width, _WIDTH), nn.SiLU()]
        drawn = nn.Sequential(*layers, nn.Linear(_WIDTH, 1))
        target = grid.at(start, samples.x.double()).to(samples.x).clamp(-0.25, 0.25)

        def loss(net: nn.Module, _: int) -> Tensor:
            index = torch.randint(len(target), (512,))
            miss: Tensor = net(samples.x[index])[:, 0] - target[index]
            return miss.square().mean()

        return minimize(drawn, loss, iterations, 1e-2).eval()


def write_networks(flow: NeuralFlow, path: Path) -> None:
    """Write the weights at every instant as safetensors: ``K.name`` for the parameter ``name`` at instant K."""
    with optional("Networks in files need safetensors", "[data]"):
        from safetensors.torch import save_file
    tensors = {}
    for k in range(len(flow.curve.points)):
        for name, value in flow.model(k).state_dict().items():
            tensors[f"{k}.{name}"] = value.contiguous().clone()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
