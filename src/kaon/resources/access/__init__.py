"""Who may use what: quotas, RBAC policies and what depends on them."""
