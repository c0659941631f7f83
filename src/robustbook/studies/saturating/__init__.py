"""Nayebi & Ganguli 2017, "Biologically inspired protection of deep networks from adversarial attacks"."""
