"""OAuth 2.0 with PKCE and OpenID Connect for a public client. Knows nothing of Jupyter."""
