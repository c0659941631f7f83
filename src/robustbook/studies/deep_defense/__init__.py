"""Reproduce Deep Defense (Yan, Guo and Zhang 2018, arXiv 1803.00404)."""
