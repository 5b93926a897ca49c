"""Tools of the house: what makes the starter, what runs a studio for tests and benchmarks, what takes pictures."""
