"""The equations with known answers: r as a string, then the expected case and degree n."""

from fractions import Fraction

from sympy import Rational, Symbol

X = Symbol("x")


def hypergeometric(triple: str) -> str:
    """r with exponent differences l, m, n at 0, 1, oo, written out without the library."""
    a, b, c = (Fraction(v) for v in triple.split())
    cross = (1 - a**2 - b**2 + c**2) / 4
    return f"({(a**2 - 1) / 4})/x**2 + ({(b**2 - 1) / 4})/(x-1)**2 + ({cross})/(x*(x-1))"


def bessel(nu: str) -> str:
    """(4 nu^2 - 1)/(4 x^2) - 1."""
    return f"({(4 * Fraction(nu) ** 2 - 1) / 4})/x**2 - 1"


def tanh_normal_form(y: str | Symbol) -> object:
    """The normal form of the tanh setting with target y, as derived by hand."""
    from sympy import sympify

    return sympify(
        "(3*x**8-6*y*x**7+(3*y**2-24)*x**6+40*y*x**5+(70-14*y**2)*x**4-68*y*x**3+(8*y**2-72)*x**2+32*y*x+24)"
        "/(4*x**2*(x**2-1)**2*(x**2-y*x-1)**2)"
    ).subs("y", Rational(y) if isinstance(y, str) else y)


SCHWARZ = {
    2: ("1/2 1/2 1/3", "1/2 1/2 2/7"),
    4: ("1/2 1/3 1/3", "2/3 1/3 1/3"),
    6: ("1/2 1/3 1/4", "2/3 1/4 1/4"),
    12: (
        "1/2 1/3 1/5",
        "2/5 1/3 1/3",
        "2/3 1/5 1/5",
        "1/2 2/5 1/5",
        "3/5 1/3 1/5",
        "2/5 2/5 2/5",
        "2/3 1/3 1/5",
        "4/5 1/5 1/5",
        "1/2 2/5 1/3",
        "3/5 2/5 1/3",
    ),
    1: ("1/2 1/3 1/6", "1/3 1/3 1/3", "1/2 1/4 1/4", "1/3 1/4 5/12"),
    None: ("1/2 1/3 1/7", "0 0 0", "1 1 0", "1/3 1/4 7/12"),
}
TETRA = "-3/(16*x**2) - 2/(9*(x-1)**2) + 3/(16*x*(x-1))"
OCTA = "-3/(16*x**2) - 2/(9*(x-1)**2) + 101/(576*x*(x-1))"
ICOSA = "-3/(16*x**2) - 2/(9*(x-1)**2) + 611/(3600*x*(x-1))"
TETRA_SQUARED = "-(5*x**2+27)/(36*(x**2-1)**2)"
CUBIC = "(43740*x**6-46656*x**4+216*x**3-2187*x**2-54*x+1)/(11664*x**4*(x**2-1)**2)"


def mathieu(a: int, q: int) -> str:
    """y'' + (a - 2 q cos 2t) y = 0 in x = cos t, in normal form."""
    return f"-({a} - 2*({q})*(2*x**2-1))/(1-x**2) - (2+x**2)/(4*(1-x**2)**2)"


def lame(b: int) -> str:
    """Lame n = 1 with e = 1, -1, 0 in normal form: w'' + (f'/2f) w' - (2x + B)/f w = 0, f = 4x^3 - 4x."""
    return f"(2*x+({b}))/(4*x**3-4*x) + ((3*x**2-1)/(2*(x**3-x)))**2/4 + (6*x*(x**3-x)-(3*x**2-1)**2)/(4*(x**3-x)**2)"


ONES = (
    "1",
    "0",
    "(4*x**6-8*x**5+12*x**4+4*x**3+7*x**2-20*x+4)/(4*x**4)",
    "x**6+3*x**2",
    *(bessel(nu) for nu in ("1/2", "3/2", "5/2")),
    *(f"x**2/4 - 1/2 - ({n})" for n in range(-3, 4)),
    *(mathieu(a, 0) for a in (0, 4)),
    *(lame(b) for b in (0, 1)),
    *(hypergeometric(t) for t in SCHWARZ[1]),
)
NONES = (
    "x",
    "x**2/4 - 1/3",
    "x**3",
    "x**3+x",
    "x**5",
    "x**2+x",
    "x**4+2*x+1",
    *(bessel(nu) for nu in ("0", "1", "2", "1/3", "1/4", "2/3")),
    mathieu(1, 1),
    CUBIC,
    *(hypergeometric(t) for t in SCHWARZ[None]),
)
FINITE = (
    (TETRA, 4),
    (OCTA, 6),
    (ICOSA, 12),
    (TETRA_SQUARED, 4),
    *((hypergeometric(t), n) for n in (4, 6, 12) for t in SCHWARZ[n]),
)
TWOS = ("1/x - 3/(16*x**2)", *(hypergeometric(t) for t in SCHWARZ[2]))
EXPECTED = (
    *((r, 1, 1) for r in ONES),
    *((r, 2, 2) for r in TWOS),
    *((r, 3, n) for r, n in FINITE),
    *((r, 4, None) for r in NONES),
)
