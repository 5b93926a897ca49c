"""What fine-tuning is, in pure Python: states, specs, rows, events, rules. No I/O and no framework."""
