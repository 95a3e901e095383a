"""Kaon: OpenStack Networking that compiles what tenants asked for into what must exist, and converges it."""

__version__ = "0.1.0"
