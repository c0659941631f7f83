"""Compute what the pages show from stored results: sentences, tables and figures.

There is one folder per paper, and one module per page with the page's name. A page contains prose,
equations and one-line calls. Tested functions of these modules make everything else that the page
shows. Importing these modules does not import torch, so that a page that only shows stored results
opens quickly.
"""
