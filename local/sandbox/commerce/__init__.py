"""The local Commerce shop."""
