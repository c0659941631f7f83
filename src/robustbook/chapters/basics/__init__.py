"""The first chapter: how to attack a network, and how to believe the result.

Its pages belong to no paper. They train small networks on embedded data and attack them when they
are run, so that a reader can change everything. Each module has the name of its page. It computes
what the page shows, and returns it as sentences, tables and figures.
"""
