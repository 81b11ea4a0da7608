"""The ``maxslope`` command. Heavy imports wait until a command runs."""

from __future__ import annotations

import signal
import sys
import traceback
from importlib import import_module
from typing import Annotated, NoReturn

import typer

from maxslope._escape import visible
from maxslope.cli import document, flow, options
from maxslope.cli.usage import UsageError, sentence

app = typer.Typer(
    name="maxslope",
    help="Curves of maximal slope: how robust is a classifier, with evidence.",
    epilog="Results go to the standard output, what is going on to the error stream. Exit codes: 0 done, 1 failed "
    "(disk, worker, a model's own error), 2 misuse, 130 interrupted (Ctrl-C or SIGTERM). 3, 4, 5 are those of "
    "evaluate --fail-under.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for _name in ("evaluate", "minimal", "report", "train", "integrability", "odenet", "boundary"):
    _module = import_module(f"maxslope.cli.{_name}")
    app.command(epilog=_module.EXAMPLES)(getattr(_module, _name))
app.add_typer(flow.app, name="flow")

_state = {"traceback": False}


def _versions(*, wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def common(
    *,
    show: Annotated[bool, typer.Option("--traceback", help="Show where in the code an error arose.")] = False,
    versions: Annotated[
        bool,
        typer.Option(
            "--version", callback=lambda value: _versions(wanted=value), is_eager=True, help="Print versions and leave."
        ),
    ] = False,
) -> None:
    """Curves of maximal slope: how robust is a classifier, with evidence."""
    _state["traceback"] = show


@app.command()
def version(*, json_: options.Json = False) -> None:
    """Print the versions of maxslope, torch and Python."""
    import torch

    import maxslope

    found = {"maxslope": maxslope.__version__, "torch": torch.__version__, "Python": sys.version.split()[0]}
    if json_:
        document.say(found)
    else:
        typer.echo(", ".join(f"{name} {number}" for name, number in found.items()))


def main() -> None:
    """Run the command line: exit code 0 done, 1 failed, 2 misuse, 130 interrupted; errors are one line."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # sent before a cluster takes the machine away
    try:
        code = app(standalone_mode=False)
    except UsageError as error:
        if not error.format_message():  # no command was given, and the help is printed
            raise SystemExit(2) from None
        _fail(error, sentence(error, typer.main.get_command(app), sys.argv[1:]), 2)
    except typer.Abort as error:
        _fail(error, "interrupted.", 130)
    except (ValueError, TypeError, ImportError) as error:
        _fail(error, str(error), 2)
    except OSError as error:
        _fail(error, f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""), 1)
    except Exception as error:
        _fail(
            error, f"{type(error).__name__}: {error} (maxslope --traceback {' '.join(sys.argv[1:2])} ... says where)", 1
        )
    finally:
        signal.signal(signal.SIGTERM, before)
    raise SystemExit(code)


def _fail(error: Exception, text: str, code: int) -> NoReturn:
    if _state["traceback"]:
        traceback.print_exception(error)
    typer.echo(f"maxslope: {visible(' '.join(text.split()))}", err=True)
    raise SystemExit(code) from error
