"""Three small invented datasets to try Hone with, written by grammars from a seed."""
