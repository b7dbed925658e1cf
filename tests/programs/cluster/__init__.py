"""Programs that measure the service on a Ray cluster, and what a deployment of many workers comes to."""
