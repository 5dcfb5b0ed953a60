"""How requests come in from the network: Gunicorn, and what it is told. Without Django."""
