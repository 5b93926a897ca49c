"""Rows that are made up: each file writes one kind of task from lists of words and a seed."""
