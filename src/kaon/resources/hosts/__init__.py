"""Hosts as the API shows them: agents, what each serves, zones, and where ports are attached."""
