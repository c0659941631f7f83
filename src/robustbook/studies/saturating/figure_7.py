"""Reproduce Figure 7 of Nayebi & Ganguli 2017 (supplement): the dissimilarity matrices of the ReLU
MLPs.
"""

from functools import partial

from . import dissimilarity

PAPER, ITEM, NETWORK = "saturating", "figure-7", "relu-mlp"
Parameters = dissimilarity.Parameters
calls = partial(dissimilarity.calls, NETWORK)
condense = partial(dissimilarity.condense, ITEM)
