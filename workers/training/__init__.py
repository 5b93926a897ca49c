"""The training engine: a spec goes in, events and an adapter come out; no database, no settings, no network of its own."""
