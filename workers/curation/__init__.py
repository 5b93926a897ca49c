"""Turning what people bring into rows one can learn from."""
