"""Holds the pages that the service shows in a browser: `static` is served as it is, and nothing in it is built yet."""
