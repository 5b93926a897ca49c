"""Hone: a fine-tuning studio for small language models."""
