"""What attacks cost on a GPU, and whether they say there what they say on a processor.

    python benchmarks/gpu.py [--minutes 5] [--out gpu.json]   on one GPU; needs torch, numpy and maxslope alone
    python benchmarks/gpu.py --dry                            the whole path on a processor, tiny: no measurement
    python benchmarks/gpu.py --table gpu.json                 the Markdown of a finished run

Networks and images are made here (seed 0 for weights, 1 and 2 for images, 3 for training), nothing is fetched. Results
are written after every row, to the JSON file and beside it as Markdown; a part that would not end within ``--minutes``
is dropped and named, one that does not end is cut off. Everything is float32 with TF32 off unless a row says otherwise.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import math
import os
import statistics
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _networks import gratings, resnet18, train, vit
from _results import Part, Results, attempt, table
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

if importlib.util.find_spec("maxslope") is None:  # not installed: the one beside this folder
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import maxslope as ms
from maxslope.attacks.starts import Clean
from maxslope.energies import Loss, Network
from maxslope.evaluation.hardware import Search

EPS = 8 / 255
NEAR = {"l_inf": ms.Linf(1e-4), "l_2": ms.L2(1e-3), "l_1": ms.L1(1e-2)}  # nothing falls: every pass is made


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    batches: tuple[int, ...] = (64, 256, 1024)
    batch: int = 256  # of everything that is measured at one size
    steps: int = 40
    repeats: int = 2
    passes: int = 5  # bare ones that are timed together, so that the processor may run ahead of the device
    pool: int = 1024
    train: tuple[int, int, int] = (16384, 400, 256)  # images, steps, rows of a step
    verdicts: int = 48
    doubles: int = 8
    widths: tuple[int, int, int] = (64, 256, 6)  # of the ResNet, of the ViT, layers of the ViT
    auto: int = 128


TINY = Sizes((4, 8), 8, 4, 1, 1, 12, (64, 2, 8), 8, 4, (2, 16, 1), 8)


@dataclass
class Lab:
    """Where and on what everything is measured."""

    device: torch.device
    sizes: Sizes
    dry: bool
    networks: dict[str, nn.Module] = field(default_factory=dict)
    x: Tensor = field(default_factory=lambda: torch.empty(0))
    labels: dict[str, Tensor] = field(default_factory=dict)
    part: dict[str, float] = field(default_factory=dict)  # of the radii, so that a fair share stands

    @property
    def gpu(self) -> bool:
        """Whether there is one."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Let the device finish."""
        if self.gpu:
            torch.cuda.synchronize()

    def seconds(self, run: Callable[[], Any], *, once: bool = False) -> float:
        """The median time of a run, after one that does not count; or that of the only one."""
        times = []
        if not once:
            run()
        for _ in range(1 if once else self.sizes.repeats):
            self.wait()
            began = time.perf_counter()
            run()
            self.wait()
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    def peak(self, run: Callable[[], Any]) -> float:
        """Megabytes that a run takes at most, beside what was there before; NaN on a processor."""
        if not self.gpu:
            return math.nan
        self.wait()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        self.wait()
        return (torch.cuda.max_memory_allocated() - before) / 1e6

    def far(self, name: str) -> dict[str, ms.Budget]:
        """Budgets in which some samples fall and some stand."""
        part = self.part[name]
        return {"l_inf": ms.Linf(part * EPS), "l_2": ms.L2(part * 0.5), "l_1": ms.L1(part * 8.0)}

    def calibrate(self, name: str) -> float:
        """Set the largest of the radii 1, 1/2, 1/4, 1/8 in which a fifth stands after ten steps, and return it."""
        x, y = self.rows(name, min(len(self.x), self.sizes.batch))
        for part in (1.0, 0.5, 0.25, 0.125):
            self.part[name] = part
            budget = self.far(name)["l_inf"]
            result = ms.attack(self.networks[name], x, y, budget, recipe=ms.recipes.pgd(10), certify=False)
            if float((~result.broken).double().mean()) >= 0.2:
                break
        return self.part[name]

    def rows(self, name: str, count: int) -> tuple[Tensor, Tensor]:
        """Images, and what the network says of them: repeated where more are wanted than there are."""
        at = torch.arange(count, device=self.device) % len(self.x)
        return self.x[at], self.labels[name][at]


def both(model: Any, x: Tensor, y: Tensor) -> None:
    """A forward and a backward pass, bare."""
    z = x.detach().requires_grad_(True)
    torch.autograd.grad(F.cross_entropy(model(z), y, reduction="sum"), z)


def alone(model: Any, x: Tensor) -> None:
    """A forward pass, bare."""
    with torch.no_grad():
        model(x)


def pgd(steps: int) -> ms.Recipe:
    """Constant steps from the clean point."""
    return ms.recipes.pgd(steps, 0.02, start=Clean())


@dataclass(frozen=True)
class Compared:
    """An attack beside the bare passes that it made."""

    result: ms.AttackResult
    taken: float
    bare: float
    call: float  # seconds of one bare forward and backward pass
    steps: float  # calls with gradients


def compared(
    lab: Lab, model: Any, x: Tensor, y: Tensor, budget: ms.Budget, batch: int, *, once: bool = False, **how: Any
) -> Compared:
    """Time an attack and, before and after it, bare passes at the rows of its calls; those that it made are counted."""

    s = lab.sizes

    def bare() -> tuple[float, float]:
        z, labels, count = x[:batch], y[:batch], s.passes
        if len(z) < batch:
            z, labels = (t.repeat(-(-batch // len(t)), *(1,) * (t.ndim - 1))[:batch] for t in (z, labels))
        return (
            lab.seconds(lambda: [both(model, z, labels) for _ in range(count)]) / count,
            lab.seconds(lambda: [alone(model, z) for _ in range(count)]) / count,
        )

    found: list[ms.AttackResult] = []
    before = bare()
    taken = lab.seconds(
        lambda: found.append(ms.attack(model, x, y, budget, batch_size=batch, certify=False, **how)), once=once
    )
    two, one = ((b + a) / 2 for b, a in zip(before, bare(), strict=True))
    forward, backward = found[-1].executed
    cost = backward / batch * two + (forward - backward) / batch * one
    return Compared(found[-1], taken, cost, two, backward / batch)


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """TF32 on or off, in products and in convolutions."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = on
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


# The parts


def networks(lab: Lab, part: Part) -> None:
    """Make and train them."""
    images, steps, batch = lab.sizes.train
    width, wide, depth = lab.sizes.widths
    x, y = (t.to(lab.device) for t in gratings(images, 1))
    test, truth = (t.to(lab.device) for t in gratings(max(lab.sizes.pool, lab.sizes.batch), 2))
    lab.x = test
    for name, model, rate in (("ResNet-18", resnet18(width), 2e-3), ("ViT", vit(wide, depth), 1e-3)):
        model.to(lab.device)
        began = time.perf_counter()
        with tf32(True):
            train(model, x, y, steps=steps, batch=batch, eps=EPS, rate=rate, seed=3)
        lab.wait()
        taken = time.perf_counter() - began
        with torch.no_grad():
            said = torch.cat([model(part_).argmax(1) for part_ in test.split(lab.sizes.batch)])
        lab.networks[name], lab.labels[name] = model, said
        size = sum(p.numel() for p in model.parameters()) / 1e6
        part.row(
            name, size, steps, taken, 100 * float((said == truth).double().mean()), 255 * EPS * lab.calibrate(name)
        )
    part.note(
        "Labels below are what the network says itself, so that every sample is right to begin with. The radius is the "
        "first of 8, 4, 2, 1 at which a fifth stands, or 1; with 8/255 go 0.5 in l_2 and 8 in l_1, with less as much "
        "less. Where nothing ends radii are 1e-4, 1e-3 and 1e-2."
    )


def slots(lab: Lab, part: Part) -> None:
    """Runs in which nothing ends: what the bookkeeping of a step costs."""
    s = lab.sizes
    for name, model in lab.networks.items():
        for batch in s.batches:
            x, y = lab.rows(name, batch)
            for norm, budget in NEAR.items():
                if norm != "l_inf" and batch != s.batch:
                    continue
                c = compared(lab, model, x, y, budget, batch, recipe=pgd(s.steps))
                how = {"recipe": pgd(3), "batch_size": batch, "certify": False}
                ours = lab.peak(partial(ms.attack, model, x, y, budget, **how))
                theirs = lab.peak(partial(both, model, x, y))
                over = 1e6 * (c.taken - c.bare) / max(c.steps, 1)
                part.row(name, batch, norm, 1000 * c.call, c.taken / c.bare, over, ours, theirs)


def pool(lab: Lab, part: Part) -> None:
    """Whole attacks, samples that fall early and runs that follow."""
    s = lab.sizes
    for name, model in lab.networks.items():
        x, y = lab.rows(name, s.pool)
        for norm, budget in lab.far(name).items():
            c = compared(lab, model, x, y, budget, s.batch, once=True, effort=ms.Effort.quick())
            made, useful = sum(c.result.executed), int(c.result.forward.sum() + c.result.backward.sum())
            standing = 100 * float((~c.result.broken).double().mean())
            part.row(
                name, norm, s.pool, standing, c.taken, c.taken / c.bare, made / useful, c.taken / c.bare * made / useful
            )


def syncs(lab: Lab, part: Part) -> None:
    """How often the processor waits for the device, where, and how many kernels are launched."""
    s = lab.sizes
    for name, model in lab.networks.items():
        x, y = lab.rows(name, s.batch)
        bare = partial(both, model, x, y)
        for norm, budget in NEAR.items():
            start = partial(ms.attack, model, x, y, budget)

            def run(steps: int, start: Any = start) -> Callable[[], Any]:
                return partial(start, recipe=pgd(steps), batch_size=s.batch, certify=False)

            def launched(run: Any = run, bare: Any = bare) -> list[float]:
                return [(launches(lab, run(8)) - launches(lab, run(3))) / 5, launches(lab, bare)]

            run(3)()
            few, many = waits(lab, run(s.steps)), waits(lab, run(2 * s.steps))
            a_step = many - few  # what comes with steps, not with the beginning and the end
            count = sum(many.values()) - sum(few.values())
            places = ", ".join(f"{at} {n / s.steps:.2g}" for at, n in a_step.most_common(4))
            part.row(
                name, norm, count / s.steps, sum(waits(lab, bare).values()), sum(few.values()) - count,
                *attempt(launched, 2), places or "-",
            )  # fmt: skip
    if not lab.gpu:
        part.note("On a processor: questions to tensors stand for waits, operations of torch for kernels.")


class Asked(TorchFunctionMode):
    """Counts questions to tensors by the place in this package that asks: on a GPU each would wait for it."""

    names = frozenset({"item", "tolist", "__bool__", "__int__", "__float__", "__index__", "nonzero", "equal", "cpu"})

    def __init__(self) -> None:
        super().__init__()
        self.places: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in self.names:
            frame: Any = sys._getframe(1)
            while frame is not None and "maxslope" not in frame.f_globals.get("__name__", ""):
                frame = frame.f_back
            self.places["elsewhere" if frame is None else place(frame.f_code.co_filename, frame.f_lineno)] += 1
        return func(*args, **(kwargs or {}))


def place(file: str, line: int) -> str:
    """A line, from the root of the repository or of the package."""
    return f"{file.partition('src/')[2] or Path(file).name}:{line}"


def waits(lab: Lab, run: Callable[[], Any]) -> Counter[str]:
    """How often a run makes the processor wait for the device, by place."""
    if not lab.gpu:
        with Asked() as asked:
            run()
        return asked.places
    lab.wait()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            run()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return Counter(place(w.filename, w.lineno) for w in caught if "called a synchronizing" in str(w.message))


class Made(TorchDispatchMode):
    """Counts the operations that torch makes."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


def launches(lab: Lab, run: Callable[[], Any]) -> float:
    """How many kernels a run launches; on a processor, how many operations of torch it makes."""
    if not lab.gpu:
        with Made() as made:
            run()
        return float(made.count)
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    lab.wait()
    with torch.profiler.profile(activities=kinds) as seen:
        run()
        lab.wait()
    return float(sum(entry.count for entry in seen.key_averages() if entry.key.startswith(("cudaLaunch", "cuLaunch"))))


def verdicts(lab: Lab, part: Part) -> None:
    """The same attacks on the device and on a processor."""
    s, there = lab.sizes, torch.device("cpu")
    for dtype, count in ((torch.float32, s.verdicts), (torch.float64, s.doubles)):
        for name, model in lab.networks.items():
            x, y = (t[:count] for t in lab.rows(name, max(count, 2)))
            x, here, cpu = x.to(dtype), copy.deepcopy(model).to(dtype), copy.deepcopy(model).to(there, dtype)
            for norm in ("l_inf", "l_2"):
                budget = lab.far(name)[norm]
                how: dict[str, Any] = {
                    "recipe": ms.recipes.pgd(10),
                    "seed": 7,
                    "batch_size": min(16, count),
                    "certify": False,
                }
                one = ms.attack(here, x, y, budget, **how)
                again = ms.attack(here, x, y, budget, **how)
                half = ms.attack(here, x[: count // 2], y[: count // 2], budget, **how)
                two = ms.attack(cpu, x.cpu(), y.cpu(), budget, **how)
                points = one.points.cpu()
                with torch.no_grad():
                    out = cpu(points)
                own = out.gather(1, y.cpu()[:, None])[:, 0]
                margin = own - out.scatter(1, y.cpu()[:, None], -math.inf).amax(1)
                part.row(
                    name, str(dtype).removeprefix("torch."), norm, count, int(two.broken.sum()),
                    int((one.broken.cpu() != two.broken).sum()), float((one.margin.cpu() - two.margin).abs().max()),
                    int(((margin < 0) != one.broken.cpu()).sum()), float((margin - one.margin.cpu()).abs().max()),
                    "yes" if torch.equal(one.points, again.points) else "no",
                    "yes" if torch.equal(one.points[: count // 2], half.points) else "no",
                )  # fmt: skip


def modes(lab: Lab, names: dict[str, Callable[[nn.Module], Any]], part: Part, network: str = "ResNet-18") -> None:
    """Other ways to call a model, for calls with gradients alone, as in ``--fast``: verdicts come from the model."""
    s, model = lab.sizes, lab.networks[network]
    x, y = lab.rows(network, s.batch)
    many, labels = lab.rows(network, 2 * s.batch)
    attack: dict[str, Any] = {"recipe": ms.recipes.pgd(10), "batch_size": s.batch, "certify": False}
    plain = ms.attack(model, many, labels, lab.far(network)["l_inf"], **attack)
    true = Loss(Network(model, s.batch), labels).evaluate(many).gradient

    def cells(name: str, make: Callable[[nn.Module], Any]) -> list[Any]:
        with tf32("TF32" in name):
            began = time.perf_counter()
            fast = make(model)
            both(fast, x, y)
            lab.wait()
            start = time.perf_counter() - began
            xi = Loss(Network(fast, s.batch), labels).evaluate(many).gradient
            c = compared(lab, fast, x, y, NEAR["l_inf"], s.batch, recipe=pgd(s.steps))
            peak = lab.peak(lambda: both(fast, x, y))
            result = ms.attack(fast, many, labels, lab.far(network)["l_inf"], **attack)
        off = float((xi - true).norm() / true.norm())
        differ = int((result.broken != plain.broken).sum())
        return [
            1000 * c.call,
            1000 * c.taken / c.steps,
            c.taken / c.bare,
            peak,
            off,
            int((~result.broken).sum()),
            differ,
            start,
        ]

    for name, make in names.items():
        part.row(network, name, *attempt(lambda n=name, m=make: cells(n, m), 8))


def cast(dtype: torch.dtype) -> Callable[[nn.Module], Any]:
    """Autocast, in calls with gradients."""

    def make(model: nn.Module) -> Any:
        def fast(x: Tensor) -> Tensor:
            with torch.autocast(x.device.type, dtype=dtype, cache_enabled=False):
                return model(x)

        return Search(model, fast, False, False)

    return make


def last(model: nn.Module) -> nn.Module:
    """A copy in channels-last format."""
    return copy.deepcopy(model).to(memory_format=torch.channels_last)


def graphed(lab: Lab) -> Callable[[nn.Module], Any]:
    """One CUDA graph forward and one backward, for calls of the one number of rows."""

    def make(model: nn.Module) -> Any:
        if not lab.gpu:
            raise RuntimeError("CUDA graphs need a GPU")
        sample = torch.rand(lab.sizes.batch, 3, 32, 32, device=lab.device).requires_grad_(True)
        return Search(model, torch.cuda.make_graphed_callables(copy.deepcopy(model), (sample,)), False, False)

    return make


def compiled(
    lab: Lab, mode: str | None, *, half: bool = False, channels_last: bool = False
) -> Callable[[nn.Module], Any]:
    """``torch.compile``, for calls with gradients; without a GPU its path alone, and no compiler."""

    def make(model: nn.Module) -> Any:
        torch._dynamo.reset()
        copied = last(model) if channels_last else copy.deepcopy(model)
        fast = torch.compile(copied, mode=mode) if lab.gpu else torch.compile(copied, backend="eager")
        return Search(model, fast, half, channels_last)

    return make


def autoattack(lab: Lab, part: Part) -> None:
    """AutoAttack of torchattacks on the same samples, if it is there."""
    s, name = lab.sizes, "ResNet-18"
    model = lab.networks[name]
    x, y = lab.rows(name, s.auto)
    for norm in ("l_inf", "l_2"):
        began = time.perf_counter()
        result = ms.attack(model, x, y, lab.far(name)[norm])
        lab.wait()
        part.row("maxslope, standard", norm, s.auto, int((~result.broken).sum()), time.perf_counter() - began)
    try:
        import _stand_ins

        _stand_ins.install()
        import torchattacks
    except Exception as error:
        part.note(f"AutoAttack was not run: torchattacks does not import here ({type(error).__name__}: {error}).")
        return
    for norm, theirs in (("l_inf", "Linf"), ("l_2", "L2")):
        began = time.perf_counter()
        attack = torchattacks.AutoAttack(model, norm=theirs, eps=float(lab.far(name)[norm].eps), n_classes=10, seed=0)
        points = attack(x, y)
        with torch.no_grad():
            standing = int((model(points).argmax(1) == y).sum())
        lab.wait()
        part.row("AutoAttack of torchattacks", norm, s.auto, standing, time.perf_counter() - began)


def about(lab: Lab) -> dict[str, Any]:
    """What was measured on what."""
    return {
        "device": torch.cuda.get_device_name() if lab.gpu else "a processor",
        "torch": torch.__version__,
        "CUDA": str(torch.version.cuda),
        "cuDNN": str(torch.backends.cudnn.version()),
        "Python": sys.version.split()[0],
        "maxslope": ms.__version__,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
        "TF32": "off unless said",
    } | ({"dry run": "no measurement"} if lab.dry else {})


MODES = [
    "network", "mode", "ms of a bare call", "ms of a step", "time over bare", "peak MB of a bare call",
    "gradient differs by", "standing", "verdicts that differ", "s to prepare",
]  # fmt: skip


def measure(lab: Lab, results: Results) -> None:
    """All parts, in the order of what they are worth; those that may end badly come last."""
    s = lab.sizes
    results.part(
        "networks", "The networks, and their training here",
        ["network", "million weights", "steps", "seconds", "clean accuracy, %", "l_inf radius, /255"], 0,
        lambda p: networks(lab, p),
    )  # fmt: skip
    results.part(
        "slots", f"{s.steps} steps in which nothing ends, beside the same passes made bare",
        ["network", "rows of a call", "norm", "ms of a bare call", "time over bare", "more, us a step", "peak MB",
         "peak MB of a bare call"], 30, lambda p: slots(lab, p),
    )  # fmt: skip
    results.part(
        "verdicts", "The same attacks on this device and on a processor",
        ["network", "dtype", "norm", "samples", "broken", "verdicts that differ", "margins differ by",
         "verdicts that differ at the same points", "margins there differ by", "again to the bit",
         "alone and in company to the bit"], 40, lambda p: verdicts(lab, p),
    )  # fmt: skip
    results.part(
        "syncs", "Waits for the device, and kernels",
        ["network", "norm", "waits a step", "waits of a bare call", "waits of a run besides", "kernels a step",
         "kernels of a bare call", "where, waits a step"], 20, lambda p: syncs(lab, p),
    )  # fmt: skip
    results.part(
        "pool", "Whole attacks: effort quick",
        ["network", "norm", "samples", "standing, %", "seconds", "time over bare", "executed over useful",
         "time over useful"], 40, lambda p: pool(lab, p),
    )  # fmt: skip
    plain: dict[str, Callable[[nn.Module], Any]] = {
        "float32": lambda m: m,
        "TF32": lambda m: m,
        "bfloat16 autocast": cast(torch.bfloat16),
        "float16 autocast": cast(torch.float16),
        "channels-last": lambda m: Search(m, last(m), False, True),
        "bfloat16 autocast, channels-last": lambda m: Search(m, last(m), True, True),
    }
    unlike = {k: v for k, v in plain.items() if "channels" not in k}
    title = "Other ways to call the ResNet-18, for calls with gradients"
    results.part("modes", title, MODES, 20, lambda p: modes(lab, plain, p))
    results.part("modes of the ViT", "The ViT", MODES, 15, lambda p: modes(lab, unlike, p, "ViT"))
    late = (
        ("CUDA graphs", "ResNet-18", graphed(lab), 10),
        ("CUDA graphs", "ViT", graphed(lab), 10),
        ("compile, bfloat16, channels-last", "ResNet-18", compiled(lab, None, half=True, channels_last=True), 45),
        ("compile, reduce-overhead", "ResNet-18", compiled(lab, "reduce-overhead"), 45),
        ("compile", "ResNet-18", compiled(lab, None), 45),
        ("compile", "ViT", compiled(lab, None), 45),
    )
    for k, (name, network, make, needs) in enumerate(late[: 3 if lab.dry else None]):  # a compiler takes its seconds
        results.part(
            f"{name}, {network}", f"{name}: {network}", MODES, needs,
            lambda p, n=name, m=make, w=network: modes(lab, {n: m}, p, w),
        )  # fmt: skip
        if k == 2:
            results.part(
                "autoattack", "AutoAttack beside it", ["attack", "norm", "samples", "standing", "seconds"], 80,
                lambda p: autoattack(lab, p),
            )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="parts that would take longer are dropped")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--dry", action="store_true", help="the whole path on a processor, tiny sizes")
    parser.add_argument("--table", type=Path, help="print the Markdown of a finished run")
    options = parser.parse_args()
    if options.table:
        print(table(json.loads(options.table.read_text(encoding="utf-8"))), end="")
        return
    if not options.dry and not torch.cuda.is_available():
        sys.exit("No GPU that torch can use was found here. The path alone, on a processor: --dry.")
    lab = Lab(torch.device("cpu" if options.dry else "cuda"), TINY if options.dry else Sizes(), options.dry)
    with tf32(False):
        results = Results(options.out, options.minutes, about(lab))
        measure(lab, results)
        results.close()
    print("\n" + table(results.data))
    sys.exit(1 if results.data["failed"] else 0)


if __name__ == "__main__":
    main()
