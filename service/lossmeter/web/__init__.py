"""The console: the pages that the service shows in a browser."""
