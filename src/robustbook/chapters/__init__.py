"""Compute the content of the pages from a record: sentences, tables and figures.

There is one folder per paper, and one module per page with the page's name. A page contains prose,
equations and one-line calls; a tested function of these modules makes everything else that the page
shows. Importing these modules does not import torch, so that a published page opens quickly.
"""
