"""The content of the pages: findings in sentences, tables and figures, computed from a record.

There is one folder per paper, and one module per page with the page's name. A page holds prose,
equations and one-line calls; everything it shows is a tested function here. Importing these modules
does not import torch, so that a published page opens quickly.
"""
