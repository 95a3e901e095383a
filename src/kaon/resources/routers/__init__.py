"""Routers: their interfaces, gateways and routes, and what belongs to one."""
