"""Compute the content of the pages on Yan, Guo and Zhang 2018."""
