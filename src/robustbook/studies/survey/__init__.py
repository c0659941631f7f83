"""Reproduce results of papers on adversarial training and related defenses, for the book's
survey.
"""
