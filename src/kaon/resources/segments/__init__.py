"""What carries networks: segments, the identifiers that they take, and networks that are routed between segments."""
