"""Compute the tables, figures and sentences for the pages on Nayebi & Ganguli 2017."""
