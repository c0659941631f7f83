"""What to run: one folder per paper, one module per item."""
