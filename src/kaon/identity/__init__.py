"""Who asks: an embedded Keystone v3, and the client of a real one."""
