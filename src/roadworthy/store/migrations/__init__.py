"""How the state's schema came to be, one revision a file; `env.py` is what Alembic runs."""
