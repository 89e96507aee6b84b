"""How fast the console is, and what it needs, with many customers and alerts."""
