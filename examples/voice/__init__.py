"""A voice bot on one machine: what it hears with, what it speaks with, and a page to call it."""
