"""The studies, which compute the book's numbers: one folder per paper, one module per table, figure
or claim.
"""
