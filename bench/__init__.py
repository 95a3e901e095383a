"""How fast Kaon is, measured from outside: `python -m bench.api` and its neighbours print tables."""
