"""Compute the content of the pages on Liu, Cheng, Zhang and Hsieh 2018."""
