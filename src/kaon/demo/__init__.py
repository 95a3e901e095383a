"""The main job, run for real on this machine: two tenants with the same addresses, step by step, with the evidence."""
