"""Define the command line with its commands run, plan, status, publish, take, give, ledger and
bench.
"""

from .commands import main

__all__ = ["main"]
