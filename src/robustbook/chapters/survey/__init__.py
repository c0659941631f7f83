"""What the pages of the survey show."""
