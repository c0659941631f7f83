"""Reproduce Figure 3 of Nayebi & Ganguli 2017: dissimilarity matrices of the sigmoid MLPs."""

from functools import partial

from . import dissimilarity

PAPER, ITEM, NETWORK = "saturating", "figure-3", "sigmoid-mlp"
Parameters = dissimilarity.Parameters
calls = partial(dissimilarity.calls, NETWORK)
condense = partial(dissimilarity.condense, ITEM)
