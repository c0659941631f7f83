"""Reproduce Figure 5 of Nayebi & Ganguli 2017: targeted attacks by L-BFGS on the least confident
test image of each class.
"""

from functools import partial

from . import lbfgs_pairs

PAPER, ITEM = "saturating", "figure-5"
Parameters = lbfgs_pairs.Parameters
calls = partial(lbfgs_pairs.calls, "least")
condense = partial(lbfgs_pairs.condense, ITEM)
