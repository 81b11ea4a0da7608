"""The command line: the one place where a string names a class."""

from maxslope.cli.main import main

__all__ = ["main"]
