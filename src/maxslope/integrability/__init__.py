"""Can gradient flow be written in closed form? Kovacic's algorithm, networks, certificates.

Names are loaded on first use, so that `maxslope.integrability.checker` needs no sympy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maxslope.integrability._check_data import CertificateError as CertificateError
    from maxslope.integrability.certify import certificate as certificate
    from maxslope.integrability.checker import Proof as Proof
    from maxslope.integrability.checker import check as check
    from maxslope.integrability.checker import examine as examine
    from maxslope.integrability.checker import parse as parse
    from maxslope.integrability.classic import second_opinion as second_opinion
    from maxslope.integrability.curve_search import Attempt as Attempt
    from maxslope.integrability.curve_search import search as search
    from maxslope.integrability.curves import IntegralCurve as IntegralCurve
    from maxslope.integrability.curves import table_curve as table_curve
    from maxslope.integrability.kovacic import Liouvillian as Liouvillian
    from maxslope.integrability.kovacic import liouvillian as liouvillian
    from maxslope.integrability.lean_text import lean as lean
    from maxslope.integrability.linear_ode import SecondOrder as SecondOrder
    from maxslope.integrability.linear_ode import kovacic_hint as kovacic_hint
    from maxslope.integrability.linear_ode import second_order as second_order
    from maxslope.integrability.local import local_data as local_data
    from maxslope.integrability.local import log_obstruction as log_obstruction
    from maxslope.integrability.loops import monodromy as monodromy
    from maxslope.integrability.networks import ALGEBRAIC as ALGEBRAIC
    from maxslope.integrability.networks import ATAN as ATAN
    from maxslope.integrability.networks import ERF as ERF
    from maxslope.integrability.networks import LINEAR as LINEAR
    from maxslope.integrability.networks import SIGMOID as SIGMOID
    from maxslope.integrability.networks import SIN as SIN
    from maxslope.integrability.networks import SOFTPLUS as SOFTPLUS
    from maxslope.integrability.networks import TAN as TAN
    from maxslope.integrability.networks import TANH as TANH
    from maxslope.integrability.networks import Activation as Activation
    from maxslope.integrability.networks import NarrowNetwork as NarrowNetwork
    from maxslope.integrability.networks import State as State
    from maxslope.integrability.networks import invariant_planes as invariant_planes
    from maxslope.integrability.networks import monomial as monomial
    from maxslope.integrability.networks import symmetries as symmetries
    from maxslope.integrability.ode import Equation as Equation
    from maxslope.integrability.ode import equation as equation
    from maxslope.integrability.one_parameter import Parametric as Parametric
    from maxslope.integrability.one_parameter import parametric as parametric
    from maxslope.integrability.picture import draw as draw
    from maxslope.integrability.taylor import numeric_flow as numeric_flow
    from maxslope.integrability.variational import normal_equation as normal_equation
    from maxslope.integrability.variational import pull_back as pull_back
    from maxslope.integrability.verdict import Verdict as Verdict
    from maxslope.integrability.verdict import decide as decide

_NAMES = {
    "_check_data": "CertificateError",
    "certify": "certificate",
    "checker": "Proof check examine parse",
    "classic": "second_opinion",
    "curve_search": "Attempt search",
    "curves": "IntegralCurve table_curve",
    "ode": "Equation equation",
    "kovacic": "Liouvillian liouvillian",
    "lean_text": "lean",
    "local": "local_data log_obstruction",
    "loops": "monodromy",
    "networks": "ALGEBRAIC ATAN ERF LINEAR SIGMOID SIN SOFTPLUS TAN TANH Activation NarrowNetwork State "
    "invariant_planes monomial symmetries",
    "one_parameter": "Parametric parametric",
    "picture": "draw",
    "linear_ode": "SecondOrder kovacic_hint second_order",
    "taylor": "numeric_flow",
    "variational": "normal_equation pull_back",
    "verdict": "Verdict decide",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name not in ("sympy", "mpmath"):
            raise
        raise ImportError('Closed forms need sympy and mpmath: pip install "maxslope[integrability]".') from error


def __dir__() -> list[str]:
    return sorted(_HOMES)
