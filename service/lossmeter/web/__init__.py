"""Holds the pages that a browser shows: `static` is served as it is; `make console` builds a part of it from `source`."""
