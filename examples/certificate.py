"""Can the gradient flow of a tiny network be solved in closed form? A verdict, and a certificate to check elsewhere.

The reader learns what `decide` proves and what it does not, what the certificate holds, and that its checker is a
separate program without computer algebra: it also rejects the certificate once a number in it is changed.

    python examples/certificate.py FOLDER

Needs sympy and mpmath: pip install "maxslope[integrability]".
"""

import json
import sys
from pathlib import Path

from maxslope.integrability import TANH, CertificateError, NarrowNetwork, check, decide, liouvillian


def main(folder: Path) -> None:
    """Decide, write, check, tamper."""
    folder.mkdir(parents=True, exist_ok=True)
    network = NarrowNetwork(TANH, data=((1, "3/2"), (-1, "-3/2")))  # f(x) = a tanh(w x + b) + c, on two samples
    verdict = decide(network)
    print(verdict.sketch())

    file = folder / "certificate.json"
    file.write_text(json.dumps(verdict.certificate(), indent=1), encoding="utf-8")
    stored = json.loads(file.read_text(encoding="utf-8"))
    print(f"\n{file}: the checker finds the group {check(stored)}.")

    stored["prime"] -= 2  # another number is not a splitting prime, so that the ranks prove nothing
    try:
        print(f"With another prime: {check(stored)}")
    except CertificateError as error:
        print(f"With another prime it refuses: {error}")

    # The equation alone: Airy's has no formula of this kind, Hermite's has.
    for r in ("x", "x**2/4 - 5/2"):
        answer = liouvillian(r)
        print(f"y'' = ({r}) y: {answer.solution() if answer.solvable else 'no solution of this kind'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
