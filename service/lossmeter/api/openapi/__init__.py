"""The OpenAPI document: FastAPI's own, with the models of the tensor routes put in.

`operations` declares routes, `answers` errors, `access` keys; `components` and `choices` hold the schemas that no pydantic
model stands for, `plain` writes schemas so that generators understand them, and `document` puts the whole together.
"""
