"""Define the commands of the command line: run, plan, status, publish, take, give, ledger and
bench.
"""

from .commands import main

__all__ = ["main"]
