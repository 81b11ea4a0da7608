"""How to cite the software, and the papers whose theory its systems compute."""

from __future__ import annotations

from importlib.metadata import version
from types import ModuleType

_SOFTWARE = """@software{{maxslope,
  title   = {{maxslope: adversarial attacks as curves of maximal slope}},
  author  = {{{{The maxslope authors}}}},
  version = {{{version}}},
  license = {{Apache-2.0}},
}}"""

# The same entries as in docs/references.bib, which a test compares.
_PAPERS = {
    "flows": """@article{weigand2025adversarial,
  title   = {Adversarial flows: {A} gradient flow characterization of adversarial attacks},
  author  = {Weigand, Lukas and Roith, Tim and Burger, Martin},
  journal = {European Journal of Applied Mathematics},
  year    = {2025},
  eprint  = {2406.05376},
  archivePrefix = {arXiv},
}""",
    "boundary": """@misc{bungert2024mean,
  title  = {A mean curvature flow arising in adversarial training},
  author = {Bungert, Leon and Laux, Tim and Stinson, Kerrek},
  year   = {2024},
  eprint = {2404.14402},
  archivePrefix = {arXiv},
}""",
    "odenet": """@misc{isobe2023convergence,
  title  = {A Convergence result of a continuous model of deep learning via {{\\L}ojasiewicz}--{Simon} inequality},
  author = {Isobe, Noboru},
  year   = {2023},
  eprint = {2311.15365},
  archivePrefix = {arXiv},
}""",
    "integrability": """@misc{park2024absence,
  title  = {Absence of Closed-Form Descriptions for Gradient Flow in Two-Layer Narrow Networks},
  author = {Park, Yeachan},
  year   = {2024},
  eprint = {2408.08286},
  archivePrefix = {arXiv},
}""",
}


def citation(*rooms: ModuleType) -> str:
    """Return BibTeX entries for the software and the papers behind it.

    Args:
        rooms: the rooms that were used, such as ``maxslope.boundary``; each adds the paper whose theory it computes,
            the others the paper on adversarial flows. Without any, every paper is given.

    Returns:
        One entry for the installed version of the software, then one for each paper, separated by blank lines.

    Raises:
        TypeError: if a room is not a module.
        ValueError: if a module is not a room of maxslope.

    Source: docs/references.bib.

    >>> import maxslope.attacks, maxslope.boundary
    >>> [line for line in citation(maxslope.boundary).splitlines() if line.startswith("@")]
    ['@software{maxslope,', '@misc{bungert2024mean,']
    >>> citation(maxslope.attacks).count("@"), citation().count("@")
    (2, 5)
    """
    chosen = list(dict.fromkeys(_paper(room) for room in rooms)) or list(_PAPERS)
    return "\n\n".join([_SOFTWARE.format(version=version("maxslope")), *(_PAPERS[key] for key in chosen)])


def _paper(room: ModuleType) -> str:
    if not isinstance(room, ModuleType):
        raise TypeError(f"A citation is of rooms, which are modules such as maxslope.boundary, got {room!r}.")
    package, _, rest = room.__name__.partition(".")
    if package != __name__.partition(".")[0]:
        raise ValueError(f"A citation is of rooms of maxslope such as maxslope.boundary, got {room.__name__}.")
    key = rest.partition(".")[0]
    return key if key in _PAPERS else "flows"
