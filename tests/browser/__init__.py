"""Tests in a real JupyterLab with a real Chromium; a package, so that its fixtures end with it."""
