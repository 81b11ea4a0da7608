"""Follow the flow of a network on a data set, and say and draw what it showed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from maxslope._status import Status
from maxslope.facts.export import write_csv
from maxslope.facts.numbers import number, percent
from maxslope.figures.canvas import COLORS, INK, blank, dress, raster, shade
from maxslope.figures.canvas import save as write
from maxslope.odenet import DescentResult, Squared, save
from maxslope.report.drawn import panels
from maxslope.report.sheets import Again, Part, Sheet, plain_table
from maxslope.studies.networks import Data, Settings, Study, numbers, study
from maxslope.studies.tables import records

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def run(
    out: Path,
    tables: list[Data],
    settings: Settings,
    *,
    say: Callable[[str], None],
    begun: Callable[[int, str], None],
    command: str = "",
) -> list[dict[str, Any]]:
    """Study every table, write all that was found into a folder, and return the numbers, a mapping for each table.

    Figures (SVG, PNG), the trajectory (CSV), the numbers (JSON), networks, a page (HTML) with the command that does it
    again. ``say`` is told what was found, ``begun`` the number and the name of a table before it is studied.
    """
    begin, drawn, files = time.perf_counter(), [], []
    for done, data in enumerate(tables):
        begun(done, data.name)
        found = study(data, settings)
        measured, flow = numbers(found), found.run
        held = "" if found.held_out is None else f", {percent(found.held_out)} on {len(found.rest)} held out"
        folder = out / data.name
        lines = [
            f"{data.name}: J {measured['energy']:.6g}, slope {measured['slope']:.2g}, {found.measure} "
            f"{percent(found.score)} on the {measured['samples']} rows learned from{held}, "
            f"{measured['gradients']} gradients, length {measured['length']:.4g}",
            _end(flow, settings.slope),
            f"energy dissipation equality: relative defect {measured['relative_defect']:.1g}",
            found.verdict.fate.value,
            *found.verdict.reasons,
            f"figure {folder.with_suffix('.svg')}",
        ]
        for lead, line in zip([f"{time.perf_counter() - begin:6.1f} s", *[""] * len(lines)], lines, strict=False):
            say(f"{lead:8}  {line}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.with_suffix(".json").write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
        way = {name: getattr(flow, name) for name in ("time", "energy", "slope", "rate", "length")}
        write_csv(records(way), folder.with_suffix(".csv"))
        save(found.network, folder.with_suffix(".safetensors"))
        drawn.append((found, measured, draw(found, folder)))
        files += [folder.with_suffix(ending).name for ending in (".svg", ".png", ".csv", ".json", ".safetensors")]
    page = sheet(drawn, Again(command, files))
    say(f"page      {page.save(out / 'report.html')}")
    return [measured for _, measured, _ in drawn]


def sheet(studies: Sequence[tuple[Study, dict[str, Any], Figure]], again: Again) -> Sheet:
    """Return the page of studies and their numbers, one section for each table of data."""
    parts, said, remains, big = [], [], [], []
    for k, (found, own, figure) in enumerate(studies):
        name = found.data.name
        said.append(f"{name}: {own['fate']}")
        remains += [f"{name}: {reason}" for reason in own["reasons"]]
        score = f"{name}: {found.measure} on the training data"
        big.append((score, percent(found.score), f"risk J = {number(own['energy'], 5)}"))
        words = (
            f"{own['samples']} samples, {own['layers']} layers of {own['particles']} particles; {own['gradients']} "
            f"gradients to a slope of {number(own['slope'], 2)}. The energy dissipation equality holds to "
            f"{number(own['relative_defect'], 1)} of the energy that was lost."
        )
        values = {key: value for key, value in own.items() if isinstance(value, int | float | str)}
        parts.append(Part(name, words, panels(figure, f"net-{k}", _NETWORK), [plain_table(f"{name}: numbers", values)]))
    names = ", ".join(found.data.name for found, _, _ in studies)
    asked = [
        ("Question", "does the training of a mean-field residual network converge, how fast, and why"),
        ("Data", names),
    ]
    return Sheet(f"Mean-field networks: {names}", asked, " ".join(said), big, remains, parts, *again)


_NETWORK = (
    "The energy falls along the flow; dashed, how far the weights have moved: a length that levels off has an end.",
    "The slope and its rate of decay. Where the rate settles at the smallest eigenvalue, convergence is exponential.",
    "Slope against energy above the limit, on logarithmic scales: the steepness is the exponent of Lojasiewicz.",
    "Each dot is a particle: the sizes of its input and output weights, from the start (gray) to the end.",
    "Samples on their way through the layers.",
    "What the network answers.",
)


def _end(flow: DescentResult, slope: float) -> str:
    return f"The slope came down to {slope:g}." if flow.status == Status.REACHED else flow.status.sentence


def draw(study: Study, path: Path) -> Figure:
    """Draw loss, slope, exponent, particles by layer, data through depth and answers, as SVG and PNG."""
    figure = blank(11.0, 6.4)
    axes = figure.subplots(2, 3).flat
    for axis, draw_one in zip(axes, (_loss, _slope, _fit, _particles, _features, _answers), strict=True):
        draw_one(axis, study)
    return write(figure, path, f"{study.data.name}: {study.verdict.fate.value}", 10)


def _loss(axis: Axes, study: Study) -> None:
    run = study.run
    later = run.time > 0
    axis.semilogx(run.time[later], run.energy[later], color=COLORS[0], linewidth=1.4)
    other = axis.twinx()
    other.semilogx(run.time[later], run.length[later], color=COLORS[1], linewidth=1.2, linestyle="--")
    other.set_ylabel("length of the curve (dashed)", fontsize=8, color=COLORS[1])
    other.tick_params(labelsize=8, colors=COLORS[1])
    other.spines["top"].set_visible(False)
    dress(axis, "energy and length", "time", "J")


def _slope(axis: Axes, study: Study) -> None:
    run = study.run
    later = run.time > 0
    axis.loglog(run.time[later], run.slope[later], color=COLORS[0], linewidth=1.4, label="slope |dJ|")
    rate = torch.where(run.rate > 0, run.rate, torch.nan)
    axis.loglog(run.time[later], rate[later], color=COLORS[2], linewidth=1.0, label="rate -d log |dJ| / dt")
    curvature = study.verdict.curvature
    if curvature is not None and curvature.smallest > 0:
        axis.axhline(curvature.smallest, color=INK, linestyle=":", linewidth=0.8, label="smallest eigenvalue")
    dress(axis, "slope and rate", "time", key=True)


def _fit(axis: Axes, study: Study) -> None:
    found = study.verdict.fit
    if found is None:
        axis.text(0.5, 0.5, "no power law yet", ha="center", transform=axis.transAxes, fontsize=9, color=INK)
    else:
        gap, level = found.gap, found.slope.log().mean()
        axis.loglog(gap[::8], found.slope[::8], "o", markersize=2.5, color=COLORS[0], label="trajectory")
        fitted = f"theta = {found.theta:.3f} in [{found.low:.3f}, {found.high:.3f}]"
        for theta, label, style in ((found.theta, fitted, "-"), (0.5, "theta = 1/2", ":")):
            line = (theta * (gap.log() - gap.log().mean()) + level).exp()
            axis.loglog(gap, line, style, color=INK if style == ":" else COLORS[1], linewidth=1.0, label=label)
    dress(axis, "exponent along the trajectory", "J - J*", "|dJ|", key=found is not None)


def _particles(axis: Axes, study: Study) -> None:
    """Where the particles of each layer start and end: size of input and output weights."""
    from matplotlib import colormaps

    def sizes(theta: Tensor) -> tuple[Tensor, Tensor]:
        d = study.risk.design.channels
        return theta[..., d : 2 * d].norm(dim=-1).flatten(), theta[..., :d].norm(dim=-1).flatten()

    theta, start = study.run.end, study.start
    last = len(theta) - 1
    shades = colormaps["viridis"](torch.linspace(0.05, 0.9, len(theta)).numpy())
    axis.plot(*sizes(start), ".", color="#cbd5e1", markersize=3, label="start")
    for k, layer in enumerate(theta):
        label = f"layer {k + 1}" if k in (0, last) else None
        axis.plot(*sizes(layer), "o", color=shades[k], markersize=3, alpha=0.85, label=label)
    top = 1.05 * float(torch.cat([*sizes(theta), *sizes(start)]).max())
    axis.plot([0, top], [0, top], color=INK, linewidth=0.6, linestyle=":")
    dress(axis, "particles by layer", "|w|", "|u|", key=True)


def _features(axis: Axes, study: Study) -> None:
    """Paths of a few data through depth, in the plane of the features' two widest directions at the end."""
    features = torch.stack(study.network.features(study.risk.x))  # [L + 1, N, d]
    end = features[-1] - features[-1].mean(0)
    basis = torch.linalg.svd(end, full_matrices=False).Vh[:2].T
    flat = (features - features[-1].mean(0)) @ basis
    if flat.shape[2] == 1:
        flat = torch.stack([torch.linspace(0, 1, len(flat))[:, None].expand(flat.shape[:2]).to(flat), flat[..., 0]], 2)
    for k in range(0, flat.shape[1], max(1, flat.shape[1] // 60)):
        color = _color(study, float(study.data.y[k]))
        axis.plot(flat[:, k, 0], flat[:, k, 1], color=color, linewidth=0.6, alpha=0.6)
        axis.plot(flat[-1, k, 0], flat[-1, k, 1], "o", color=color, markersize=2.5)
    dress(axis, "data through depth (dots: at the end)", "first direction", "second direction")


def _color(study: Study, label: float) -> Any:
    """The color of a class; of all samples of a regression one."""
    if study.data.y.is_floating_point():
        return COLORS[0]
    from matplotlib import colormaps

    return COLORS[int(label)] if int(study.data.y.max()) == 1 else colormaps["tab10"](int(label) % 10)


def _answers(axis: Axes, study: Study) -> None:
    """Decision regions on the plane of two features, or of two principal components; for regression, z over y."""
    risk = study.risk
    if isinstance(risk.misfit, Squared):
        z = study.network(risk.x)[:, 0]
        axis.plot(risk.y[:, 0], z, "o", color=COLORS[0], markersize=2.5, alpha=0.7)
        ends = [float(risk.y.min()), float(risk.y.max())]
        axis.plot(ends, ends, color=INK, linewidth=0.8, linestyle=":")
        dress(axis, "prediction over target (standardized)", "y", "z")
        return
    mean, plane = _plane(risk.x)
    at = (risk.x - mean) @ plane
    low, high = at.amin(0), at.amax(0)
    margin = 0.12 * (high - low).clamp_min(1e-9)
    corners = (low - margin).tolist(), (high + margin).tolist()
    sides, grid = raster(*corners, 160)
    z = study.network(mean + grid @ plane.T).reshape(160, 160, -1)
    if z.shape[2] == 1:
        shade(axis, z[..., 0].sigmoid(), *corners, cmap="RdBu_r", vmin=0, vmax=1, alpha=0.35, aspect="auto")
        axis.contour(*sides, z[..., 0].T, levels=[0.0], colors=INK, linewidths=1.0)
    else:
        shade(axis, z.argmax(2) % 10, *corners, cmap="tab10", vmin=-0.5, vmax=9.5, alpha=0.3, aspect="auto")
    for label in range(int(study.data.y.max()) + 1):
        own = at[study.data.y == label]
        axis.plot(own[:, 0], own[:, 1], "o", color=_color(study, label), markersize=2.2)
    dress(axis, f"answers on the {'plane of the data' if risk.x.shape[1] <= 2 else 'principal plane'}")


def _plane(x: Tensor) -> tuple[Tensor, Tensor]:
    """The plane to draw on: its origin ``[features]`` and two directions ``[features, 2]``."""
    features = x.shape[1]
    if features == 2:
        return torch.zeros_like(x[0]), torch.eye(2, dtype=x.dtype)
    mean = x.mean(0)
    basis = torch.linalg.svd(x - mean, full_matrices=False).Vh
    if features == 1:
        return mean, torch.cat([basis[:1].T, torch.zeros_like(basis[:1].T)], 1)
    return mean, basis[:2].T
