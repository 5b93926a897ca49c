"""Measurements, each with its peer in the same run; results lie in bench/results as JSON."""
