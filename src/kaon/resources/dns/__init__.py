"""Names of ports in DNS."""
