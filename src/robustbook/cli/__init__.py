"""The command line: run, plan, status, publish, ledger, bench."""

from .commands import main

__all__ = ["main"]
