"""Subnets and their addresses: the pools that prefixes come from, and who has which address."""
