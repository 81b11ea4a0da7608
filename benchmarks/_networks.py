"""Networks for 32 x 32 images in plain torch, made images for them to learn, and a short adversarial training."""

from __future__ import annotations

import contextlib
import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 10


class Block(nn.Module):
    """A basic residual block."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(),
            nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside),
        )  # fmt: skip
        self.skip = nn.Identity() if stride == 1 and inside == outside else nn.Conv2d(inside, outside, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.skip(x))


def resnet18(width: int = 64) -> nn.Module:
    """ResNet-18 for 32 x 32 images, 11 million parameters at width 64, random weights."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1), nn.ReLU()]
    inside = width
    for outside, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
        layers += [Block(inside, outside, stride), Block(outside, outside, 1)]
        inside = outside
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, CLASSES)]
    return nn.Sequential(*layers).eval().requires_grad_(False)


class Layer(nn.Module):
    """A layer of a transformer: attention, then a perceptron, both behind a normalization."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.before(x)).unflatten(2, (3 * self.heads, -1)).transpose(1, 2).chunk(3, 1)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.after(x))


class ViT(nn.Module):
    """A small vision transformer for 32 x 32 images: 64 patches of 4 x 4, 5 million parameters as it stands."""

    def __init__(self, width: int = 256, depth: int = 6, heads: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.places = nn.Parameter(0.02 * torch.randn(1, 64, width))
        self.layers = nn.Sequential(*(Layer(width, heads) for _ in range(depth)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, CLASSES))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(self.patches(8 * x - 4).flatten(2).transpose(1, 2) + self.places).mean(1))


def vit(width: int = 256, depth: int = 6) -> nn.Module:
    """A small vision transformer, random weights."""
    torch.manual_seed(0)
    return ViT(width, depth).eval().requires_grad_(False)


def gratings(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images [count, 3, 32, 32] in [0, 1] of stripes on noise, and their classes: ten directions of the stripes.

    How strong the stripes are differs by image, from 0.03 to 0.3: what is weak falls to a small perturbation, what is
    strong can stand. Made on the processor, so that they are the same on every device.
    """
    g = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=g)

    y = torch.randint(CLASSES, (count,), generator=g)
    angle = math.pi * (y + 0.3 * (draw() - 0.5)) / CLASSES
    across = torch.arange(32.0) - 15.5
    way = angle.cos()[:, None, None] * across + angle.sin()[:, None, None] * across[:, None]
    turns = 2 * math.pi * ((0.12 + 0.06 * draw(1, 1)) * way + draw(1, 1))
    strength = 0.03 * 10 ** draw(1, 1, 1) * (0.5 + 0.5 * draw(3, 1, 1))
    noise = 0.03 * torch.randn(count, 3, 32, 32, generator=g)
    return (0.5 + strength * turns.cos()[:, None] + noise).clamp(0, 1), y


def train(
    model: nn.Module, x: Tensor, y: Tensor, *, steps: int, batch: int, eps: float, rate: float, seed: int
) -> None:
    """Adam on cross-entropy at points one signed step of length ``eps`` away, from a random start within ``eps``.

    The model is trained in place and is in evaluation mode afterwards, without gradients on its weights. On a GPU it is
    trained under bfloat16 autocast.
    """
    order = torch.Generator().manual_seed(seed)
    model.train().requires_grad_(True)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)

    def loss(z: Tensor, labels: Tensor) -> Tensor:
        half = z.device.type == "cuda"
        with torch.autocast("cuda", torch.bfloat16) if half else contextlib.nullcontext():
            return F.cross_entropy(model(z), labels)

    for step in range(steps):
        at = torch.randint(len(x), (batch,), generator=order).to(x.device)
        clean, labels = x[at], y[at]
        own = eps * min(
            1.0, max(0.0, 4 * step / steps - 1)
        )  # grows over the second quarter: a transformer starts no other way
        away = own * (2 * torch.rand(clean.shape, generator=order) - 1).to(x.device)
        z = (clean + away).requires_grad_(True)
        (slope,) = torch.autograd.grad(loss(z, labels), z)
        z = (z.detach() + own * slope.sign()).clamp(clean - own, clean + own).clamp(0, 1)
        optimizer.zero_grad(set_to_none=True)
        loss(z, labels).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    optimizer.zero_grad(set_to_none=True)
    model.eval().requires_grad_(False)
