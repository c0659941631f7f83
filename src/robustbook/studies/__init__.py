"""The studies: one folder per paper, one module per item."""
