"""The local copy of an organisation's books, and what can be asked of it. Knows the API, and no Jupyter."""
