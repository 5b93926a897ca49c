"""How Hone reaches outside: the store, the bell, the inference server, the parent process."""
