"""What the pages on Nayebi & Ganguli 2017 show."""
