"""Reproduce Figure 8 of Nayebi & Ganguli 2017 (supplement): targeted attacks by L-BFGS on the most
confident test images.
"""

from functools import partial

from . import lbfgs_pairs

PAPER, ITEM = "saturating", "figure-8"
Parameters = lbfgs_pairs.Parameters
calls = partial(lbfgs_pairs.calls, "most")
condense = partial(lbfgs_pairs.condense, ITEM)
