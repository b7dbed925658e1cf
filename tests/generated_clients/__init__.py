"""Clients that well-known generators make of the OpenAPI documents: `make test-clients`."""
