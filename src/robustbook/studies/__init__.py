"""Compute the book's numbers: each folder belongs to one paper, and each module to one table,
figure or claim.
"""
