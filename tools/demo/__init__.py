"""The demo: from a fresh clone to a trained model in one command, all of it through the product's own REST API."""
