"""Security groups: their rules, their defaults, the addresses that they name, and their logs."""
