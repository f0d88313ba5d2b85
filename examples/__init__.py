"""Bots to begin with, and to talk to."""
