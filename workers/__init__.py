"""The processes that work for the studio: each long piece of work runs in a child of its own."""
