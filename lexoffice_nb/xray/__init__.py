"""The X-ray of a sign-in: what was recorded of it, as a sequence diagram, a table, a page and a HAR file."""
