"""Compute what the pages show from stored results: sentences, tables and figures.

There is one folder per paper, and one module per page with the page's name. A page contains prose,
equations and one-line calls. The sentences, tables and figures that depend on results are made by
the functions of these modules, which have tests. Importing these modules does not import torch, so
that a page that only shows stored results opens quickly.
"""
