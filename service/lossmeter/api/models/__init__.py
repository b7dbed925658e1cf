"""Requests and answers as models of pydantic, one file per noun."""
