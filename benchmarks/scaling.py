"""Runs that last and runs that grow: what benchmarks/RESULTS.md says about them, each by its own command.

python benchmarks/scaling.py kill --samples 5000 --kills 20     a run killed again and again, and resumed
python benchmarks/scaling.py ray --workers 1 2 4 --samples 2000 the same table from any crew, a worker lost on the way
python benchmarks/scaling.py speedup --samples 960 --pairs 3    two workers against one, interleaved
python benchmarks/scaling.py memory --samples 200000            a data set that is larger than what is held of it
python benchmarks/scaling.py startup --pairs 5                  the command and the import, cold
Each prints JSON lines.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


# --- models and data -------------------------------------------------------------------------------------------------


def small(samples: int) -> tuple[Any, Any]:
    """A small network and samples of which some stand, some break and some are wrong from the start."""
    import torch
    from torch import nn

    g = torch.Generator().manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5)).eval()
    for weight in net.parameters():
        weight.data.copy_(torch.randn(weight.shape, generator=g) / weight.shape[-1] ** 0.5)
    x = torch.rand(samples, 1, 8, 8, generator=g)
    y = net(x).argmax(1)
    y[::10] = (y[::10] + 1) % 5
    return net, (x, y)


def mnist(samples: int) -> tuple[Any, Any]:
    """The network and the images that ship with maxslope, the images over and over."""
    import torch

    from maxslope.data import default_data, default_network

    x, y = default_data()
    times = -(-samples // len(x))
    return default_network(), (torch.cat([x] * times)[:samples], torch.cat([y] * times)[:samples])


class Mortal:
    """A model that kills its process once: the one that finds the file, at its 30th call."""

    def __init__(self, net: Any, file: Path) -> None:
        self.net, self.file, self.calls = net, file, 0

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        if self.calls == 30:
            try:
                self.file.unlink()
            except FileNotFoundError:
                return self.net(x)
            os.kill(os.getpid(), signal.SIGKILL)
        return self.net(x)


# --- kill ------------------------------------------------------------------------------------------------------------


def kill(samples: int, kills: int, part: int, seed: int) -> None:
    """A run killed with SIGKILL at random moments and resumed, row by row against one that nobody interrupted."""
    import maxslope as ms
    from maxslope.evaluation import Folder, evaluate, load, resume

    net, data = small(samples)
    effort, budget = ms.Effort.quick(), ms.Linf(0.05)
    root = Path(tempfile.mkdtemp())
    began = time.perf_counter()
    whole = evaluate(net, data, budget, effort=effort, part=part, out=root / "whole")
    seconds = time.perf_counter() - began
    chance = random.Random(seed)
    moments = []
    for attempt in range(kills):
        child = os.fork()
        if child == 0:
            try:
                go_on(net, data, budget, effort, part, root / "run", Folder, evaluate, resume)
            finally:
                os._exit(0)
        time.sleep(chance.uniform(0.0, 2.0 * seconds / kills) * (attempt > 0) + 0.05)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        rows = root / "run" / "rows"
        moments.append(len(list(rows.glob("part-*.parquet"))) if rows.exists() else 0)
    before = {p.name: p.stat().st_mtime_ns for p in (root / "run" / "rows").glob("part-*.parquet")}
    go_on(net, data, budget, effort, part, root / "run", Folder, evaluate, resume)
    kept = all((root / "run" / "rows" / name).stat().st_mtime_ns == when for name, when in before.items())
    again = load(root / "run")
    same = all(str(again.table[name]) == str(whole.table[name]) for name in whole.table)
    say(
        kind="kill", samples=samples, kills=kills, parts_at_kills=moments, seconds_uninterrupted=round(seconds, 1),
        identical=same and again.executed == whole.executed and bool((again.points == whole.points).all()),
        rows=len(set(again.table["index"])), duplicates=len(again.table["index"]) - len(set(again.table["index"])),
        finished_parts_untouched=kept,
    )  # fmt: skip
    shutil.rmtree(root)


def go_on(net, data, budget, effort, part, folder, kind, evaluate, resume) -> None:  # type: ignore[no-untyped-def]
    if kind(folder).exists:
        resume(folder, net, data)
    else:
        evaluate(net, data, budget, effort=effort, part=part, out=folder)


# --- ray -------------------------------------------------------------------------------------------------------------


def ray(workers: list[int], samples: int, part: int) -> None:
    """The same table from one process, from any number of workers, and with a worker that dies half-way."""
    import maxslope as ms
    from maxslope.evaluation import evaluate
    from maxslope.evaluation.cluster import RayCrew

    net, data = small(samples)
    options: dict[str, Any] = {"effort": ms.Effort.quick(), "part": part}
    here = evaluate(net, data, ms.Linf(0.05), **options)
    lost = Path(tempfile.mkdtemp()) / "lost"
    for count in workers:
        for dies in (False, True):
            model: Any = net
            if dies:
                lost.touch()
                model = Mortal(net, lost)
            began = time.perf_counter()
            there = evaluate(model, data, ms.Linf(0.05), crew=RayCrew(count), **options)
            say(
                kind="ray", workers=count, worker_killed=dies and not lost.exists(),
                identical=str(there.table) == str(here.table) and bool((there.points == here.points).all()),
                seconds=round(time.perf_counter() - began, 1),
            )  # fmt: skip


def cpu_of_workers() -> float:
    """CPU seconds that the workers of Ray on this machine have used."""
    ticks = 0
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if (place / "cmdline").read_bytes().startswith(b"ray::_Worker"):
                ticks += sum(map(int, (place / "stat").read_text().rpartition(")")[2].split()[11:13]))
        except OSError:
            continue  # it has ended
    return ticks / os.sysconf("SC_CLK_TCK")


def rounded(values: Iterable[float]) -> list[float]:
    return [round(value, 2) for value in values]


def speedup(samples: int, pairs: int, part: int, steps: int) -> None:
    """Two workers against one on the network that ships, in turns; starting Ray and the workers is not counted.

    Every sample has the same runs, so that parts last equally long: what is measured is what the crew costs. With a
    real effort the part with the most stubborn sample sets the end; ``pool.py`` measures that. Other jobs on the
    machine take their share of the wall time, and a system that shares processors by session (autogroup on Linux) gives
    two workers no more than one; so beside it stand the CPU seconds of the workers, the cores they had (CPU over wall),
    how busy they were (time inside parts over wall and workers), and the ratio these make on two cores that are free.
    """
    import maxslope as ms
    from maxslope.attacks.question import tile_for
    from maxslope.evaluation import cluster
    from maxslope.evaluation.data import jobs
    from maxslope.evaluation.hardware import Choice
    from maxslope.evaluation.part import Orders, Threat, Work

    net, data = mnist(samples)
    warm = mnist(16)[1]
    work = Work(net, Choice(tile_for(data[0])), ms.Linf(0.3), Threat(), 0, False)
    orders = Orders(ms.Effort((ms.recipes.pgd(steps),)), False)
    cluster._ray().init(num_cpus=3, log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    wall: dict[int, list[float]] = {1: [], 2: []}
    cpu: dict[int, list[float]] = {1: [], 2: []}
    busy: dict[int, list[float]] = {1: [], 2: []}
    for pair in range(pairs):
        for count in (1, 2) if pair % 2 == 0 else (2, 1):
            with cluster.RayCrew(count).team(work) as team:
                while team.__self__.starting:  # type: ignore[attr-defined]
                    list(team(orders, jobs(warm, 2)))  # until every worker has said hello
                before, began = cpu_of_workers(), time.perf_counter()
                inside = sum(done.seconds for done in team(orders, jobs(data, part)))
                wall[count].append(time.perf_counter() - began)
                busy[count].append(inside / count / wall[count][-1])
                cpu[count].append(cpu_of_workers() - before)
    ratios = [one / two for one, two in zip(wall[1], wall[2], strict=True)]
    say(
        kind="speedup", samples=samples, part=part, steps=steps, one=rounded(wall[1]), two=rounded(wall[2]),
        ratios=rounded(ratios), median=round(statistics.median(ratios), 2), best=round(max(ratios), 2),
        cpu_one=rounded(cpu[1]), cpu_two=rounded(cpu[2]),
        cores_one=rounded(c / w for c, w in zip(cpu[1], wall[1], strict=True)),
        cores_two=rounded(c / w for c, w in zip(cpu[2], wall[2], strict=True)),
        busy_one=rounded(busy[1]), busy_two=rounded(busy[2]), load=os.getloadavg(),
        on_free_cores=round(
            2 * statistics.median(
                b * c / (a * d) for a, b, c, d in zip(busy[1], busy[2], cpu[1], cpu[2], strict=True)
            ), 2,
        ),
    )  # fmt: skip


# --- memory ----------------------------------------------------------------------------------------------------------


def memory(samples: int) -> None:
    """Peak memory above the model's, on images 3x64x64 that are generated as they are read."""
    import torch
    from torch import nn
    from torch.utils.data import Dataset

    import maxslope as ms
    from maxslope.evaluation import evaluate

    class Generated(Dataset[Any]):
        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            x = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(i))
            return x, int(x[0, 0, 0] > 0.5)

        def __len__(self) -> int:
            return samples

    class Corner(nn.Module):
        """The trivially cheap model: one pixel decides."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            z = x[:, 0, 0, 0] - 0.5
            return torch.stack([-z, z], 1)

    evaluate(Corner(), (torch.rand(2, 3, 64, 64), torch.tensor([0, 1])), ms.Linf(0.6), effort=ms.Effort.quick())
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        options: dict[str, Any] = {"effort": ms.Effort.quick(), "keep_points": False}
        report = evaluate(Corner(), Generated(), ms.Linf(0.6), out=Path(folder) / "run", **options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say(
        kind="memory", samples=report.samples, bytes_of_data=samples * 3 * 64 * 64 * 4, before_mb=round(base),
        peak_above_mb=round(peak - base), seconds=round(time.perf_counter() - began),
        robust=report.robust_accuracy,
    )  # fmt: skip


# --- startup ---------------------------------------------------------------------------------------------------------


def startup(pairs: int) -> None:
    """``maxslope --help``, and ``import maxslope`` against ``import torch``, in processes of their own, in turns.

    CPU seconds of the process beside those on the wall, which other jobs on the machine make longer.
    """

    def seconds(code: str, *words: str) -> tuple[float, float]:
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, "-c", code, *words], check=True, stdout=subprocess.DEVNULL)
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    use = "import maxslope; maxslope.evaluate, maxslope.attack, maxslope.flow"
    helps, alone, used = [], [], []
    for _ in range(pairs + 1):
        helps.append(seconds("from maxslope.cli import main; main()", "--help"))
        torch = seconds("import torch")
        alone.append([a / b for a, b in zip(seconds("import maxslope; import torch"), torch, strict=True)])
        used.append([a / b for a, b in zip(seconds(use), torch, strict=True)])
    for k, clock in enumerate(("wall", "cpu")):
        say(
            kind="startup", clock=clock, help_seconds=round(statistics.median(h[k] for h in helps[1:]), 2),
            import_over_torch=round(statistics.median(r[k] for r in alone[1:]), 3),
            with_evaluate_attack_flow=round(statistics.median(r[k] for r in used[1:]), 3),
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["kill", "ray", "speedup", "memory", "startup"])
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--part", type=int, default=128)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    o = parser.parse_args()
    {
        "kill": lambda: kill(o.samples, o.kills, o.part, o.seed),
        "ray": lambda: ray(o.workers, o.samples, o.part),
        "speedup": lambda: speedup(o.samples, o.pairs, o.part, o.steps),
        "memory": lambda: memory(o.samples),
        "startup": lambda: startup(o.pairs),
    }[o.kind]()


if __name__ == "__main__":
    main()
