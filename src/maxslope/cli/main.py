"""The ``maxslope`` command. Heavy imports wait until a command runs."""

from __future__ import annotations

import difflib
import itertools
import signal
import sys
import traceback
from importlib import import_module
from typing import Annotated, Any, NoReturn

import typer

from maxslope._escape import visible
from maxslope.cli import ending, flow, options

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
_UsageError: Any = typer.BadParameter.__base__  # wherever this version of typer has it


def _versions(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def common(
    *,
    show: Annotated[bool, typer.Option("--traceback", help="Show where in the code an error arose.")] = False,
    versions: Annotated[
        bool, typer.Option("--version", callback=_versions, is_eager=True, help="Print versions and leave.")
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
        ending.say(found)
    else:
        typer.echo(", ".join(f"{name} {number}" for name, number in found.items()))


def main() -> None:
    """Run the command line: exit code 0 done, 1 failed, 2 misuse, 130 interrupted; errors are one line."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # sent before a cluster takes the machine away
    try:
        code = app(standalone_mode=False)
    except _UsageError as error:
        if not error.format_message():  # no command was given, and the help is printed
            raise SystemExit(2) from None
        _fail(error, _misuse(error, typer.main.get_command(app), sys.argv[1:]), 2)
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


_GONE = {  # options of 0.2, and what to do now
    ("integrability", name): "--out FOLDER names the folder of all files" for name in ("--certificate", "--picture")
}


def _misuse(error: Any, root: Any, words: list[str]) -> str:
    """What is wrong with the words typed after the name of the ``root`` command: rule, value, the nearest option."""
    command, path = root, ["maxslope"]
    words = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    for word in words:
        if word in getattr(command, "commands", {}):
            command = command.commands[word]
            path.append(word)
    name = " ".join(path)
    way = f"{name} --help lists what there is."
    if {"option_name", "possibilities"} <= vars(error).keys():
        if now := _GONE.get((command.name, error.option_name)):
            return f"{name} has no option {error.option_name} any more; {now}. {way}"
        known = [option for one in command.params for option in (*one.opts, *one.secondary_opts)]
        alike = difflib.get_close_matches(error.option_name, [word for word in [*known, "--help"] if "--" in word], 1)
        found = f"did you mean {alike[0]}? " if alike else ""
        return f"{name} has no option {error.option_name}; {found}{way}"
    parameter = getattr(error, "param", None)
    if parameter is None:
        return f"{error.format_message()} {way}"
    known = [*parameter.opts, *parameter.secondary_opts]
    said = error.message.removeprefix("Value error, ").rstrip(".") if error.message else "it is missing"
    if said.startswith("Input"):  # as pydantic says it, without what was typed
        said += "".join(f", got {value!r}" for option, value in itertools.pairwise(words) if option in known)
    title = max(known, key=len) if known[0].startswith("-") else known[0].upper()
    return f"{title}: {said[:1].lower()}{said[1:]}. {parameter.help or ''} {way}"
