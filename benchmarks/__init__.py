"""Timings against other libraries and against the floor; run from the project's root."""
