"""Handlers of pages, one noun a file."""
