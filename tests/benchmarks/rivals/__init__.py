"""Servers that the service is measured against, each as its own framework would have it written."""
