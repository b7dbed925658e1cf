"""What the service costs beside the floor, beside other services, and beside torch in process. Asserts nothing."""
