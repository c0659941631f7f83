"""Compute the content of the pages on Nayebi & Ganguli 2017."""
