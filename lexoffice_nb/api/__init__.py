"""The vendor's REST API. Knows how to sign in, knows nothing of Jupyter."""
