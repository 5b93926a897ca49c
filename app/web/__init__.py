"""Pages: what a browser sees. Templates in templates/, one handler and one template for each address."""
