"""Compute the content of the book's pages on Deep Defense (Yan, Guo and Zhang 2018)."""
