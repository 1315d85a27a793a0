"""How sure: what numbers say about a promise, and how far they may be wrong. Pure functions."""
