"""Revisions of the database schema, oldest first by name. `scripts/new_migration.py MESSAGE` writes the next one."""
