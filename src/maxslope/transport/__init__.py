"""Distributions: clouds of labeled points, adversaries that move them, exact transport distances."""

from maxslope.energies.algebra import Potential
from maxslope.spaces.mixed import cloud_space
from maxslope.transport.adversary import AdversaryResult, adversary
from maxslope.transport.clouds import Cloud, clouds, distance, particle_speeds
from maxslope.transport.dual import Dual, dual
from maxslope.transport.paths import Paths, paths

__all__ = [
    "AdversaryResult",
    "Cloud",
    "Dual",
    "Paths",
    "Potential",
    "adversary",
    "cloud_space",
    "clouds",
    "distance",
    "dual",
    "particle_speeds",
    "paths",
]
