"""The command line: run, plan, status, publish, take, give, ledger, bench."""

from .commands import main

__all__ = ["main"]
