"""The local Amazon."""
