"""Addresses that lead elsewhere: floating IPs, what is forwarded from them, and local IPs."""
