"""Compute the content of the first chapter: how to attack a network, and how to check whether the
result can be trusted.

The pages of the first chapter belong to no paper. Each page trains small networks on embedded data
and attacks the networks when the page is run, so that a reader can change everything. Each module
has the name of its page. A module of this chapter computes what its page shows, and returns the
results as sentences, tables and figures.
"""
