"""A voice detector on waveforms: how little noise, in decibels, turns speech into silence and back.

The reader learns how to wrap a model that keeps a state and returns a probability, how to give every sample its own
budget (a signal-to-noise ratio is an l_2 radius in proportion to the signal), and how to read one decibel curve off
the smallest perturbations instead of running one evaluation for each level.

    python examples/audio.py FOLDER

Needs scipy and silero-vad (MIT license): pip install "maxslope[examples]". There is no recording: the voices are vowels
from a glottal pulse train through three resonances, the rest is noise and hum, and the script first says what the
detector makes of them.
"""

import sys
import wave
from pathlib import Path

import numpy as np
import torch
from scipy.signal import lfilter
from silero_vad import load_silero_vad
from torch import Tensor, nn

import maxslope as ms

RATE, CHUNK, CHUNKS = 16_000, 512, 16  # half a second, in the chunks that the detector wants
FORMANTS = {"a": (730, 1090, 2440), "e": (530, 1840, 2480), "i": (270, 2290, 3010), "o": (570, 840, 2410)}  # Hz


class Voice(nn.Module):
    """Logits (silence, voice) of waveforms ``[rows, samples]``: the mean over the chunks of the detector's logit."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        self.detector = load_silero_vad().eval()

    def forward(self, x: Tensor) -> Tensor:
        """Forget what was heard before, listen to all chunks, and average."""
        self.detector.reset_states()  # a row must not depend on the call before
        heard = torch.stack([self.detector(chunk, RATE)[:, 0] for chunk in x.split(CHUNK, dim=1)])
        logit = torch.logit(heard, eps=1e-6).mean(0)
        return torch.stack([-logit / 2, logit / 2], dim=1)


def vowels(word: str, pitch: float, rng: np.random.Generator) -> np.ndarray:
    """Return a sung word: pulses with a gliding pitch, through the resonances of its vowels, one after the other."""
    n = CHUNK * CHUNKS
    time = np.arange(n) / RATE
    glide = pitch * (1.05 - 0.2 * time) * (1 + 0.06 * np.sin(13 * time + rng.uniform(0, 6)))
    pulses = np.diff(np.floor(np.cumsum(glide) / RATE), prepend=0.0)
    source = np.diff(lfilter([1], [1, -0.97], pulses) + 0.003 * rng.standard_normal(n), prepend=0.0)
    out = np.zeros(n)
    for k, vowel in enumerate(word):
        sound = source
        for center, width in zip(FORMANTS[vowel], (80, 100, 140), strict=True):
            r, turn = np.exp(-np.pi * width / RATE), 2 * np.cos(2 * np.pi * center / RATE)
            sound = lfilter([1 - r * turn + r * r], [1, -r * turn, r * r], sound)
        place = len(word) * time / time[-1] - k  # from 0 to 1 while this vowel sounds, fading in and out
        out += np.clip(1.2 * np.sin(np.pi * np.clip(place, 0, 1)), 0, 1) * sound / np.abs(sound).max()
    return 0.3 * out / np.abs(out).max()


def sounds() -> tuple[Tensor, Tensor]:
    """Return waveforms ``[rows, samples]`` in [-1, 1] and whether each is a voice."""
    rng = np.random.default_rng(0)
    words = ("ai", "iao", "eia", "aeo", "oia", "ia", "aie", "iae")
    voices = [vowels(word, pitch, rng) for word in words for pitch in (140, 180)]
    noise = rng.standard_normal((8, CHUNK * CHUNKS))
    hum = np.sign(np.sin(2 * np.pi * np.outer((50, 60, 100, 120), np.arange(CHUNK * CHUNKS) / RATE)))
    others = [*(0.03 * noise[:4]), *(0.02 * lfilter([1], [1, -0.97], noise[4:])), *(0.1 * hum)]
    x = torch.from_numpy(np.stack([*voices, *others]).astype(np.float32)).clamp(-1, 1)
    return x, torch.tensor([1] * len(voices) + [0] * len(others))


def write(path: Path, signal: Tensor) -> None:
    """Write a waveform as 16-bit mono."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((signal * 32767).round().to(torch.int16).numpy().tobytes())


def main(folder: Path) -> None:
    """Listen, attack, measure."""
    folder.mkdir(parents=True, exist_ok=True)
    model, (x, y) = Voice().eval(), sounds()
    with torch.no_grad():
        right = model(x).argmax(1) == y
    voices, others = right[y == 1], right[y == 0]
    print(f"The detector calls {int(voices.sum())} of {len(voices)} synthetic voices speech.")
    print(f"It calls {int(others.sum())} of {len(others)} noises and hums silence. The rest is left out.")
    x, y = x[right], y[right]

    level = 50.0  # dB below the signal: hardly audible
    radius = x.norm(dim=1) * 10 ** (-level / 20)  # one eps per sample
    report = ms.evaluate(model, (x, y), ms.L2(radius, box=(-1, 1)), effort=ms.Effort.quick(), batch_size=8, probe=False)
    print(f"Noise {level:g} dB below the signal leaves {report.robust_accuracy:.0%} of {report.samples} right, for "
          f"{report.backward_per_sample:.0f} gradients a sample.")  # fmt: skip

    nearest = ms.minimal(model, x, y, ms.Lp(2), box=(-1, 1), effort=ms.Effort(passes=30), batch_size=8)
    ratio = 20 * (x.norm(dim=1) / nearest.norms).log10()
    print("Signal over smallest perturbation, dB, median (range):")
    for name, kind in (("voice to silence", 1), ("silence to voice", 0)):
        part = ratio[y == kind]
        print(f"  {name}: {float(part.median()):.0f} ({float(part.min()):.0f} to {float(part.max()):.0f})")
    write(folder / "clean.wav", x[0])
    write(folder / "silenced.wav", nearest.points[0])
    print(f"{folder / 'clean.wav'} and {folder / 'silenced.wav'} differ by {-float(ratio[0]):.0f} dB.")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
