"""The verdict on a round: facts in, violations out. Pure."""
