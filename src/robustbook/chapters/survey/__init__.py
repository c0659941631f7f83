"""Compute the sentences, tables and figures that the pages of the survey show."""
