"""Make the bundled base model, hone-starter, from a folder of public text."""
