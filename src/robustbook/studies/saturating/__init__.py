"""Reproduce Nayebi & Ganguli 2017, Biologically inspired protection of deep networks (arXiv
1703.09202).
"""
