"""Pipecat's own evals of a bot with this package, without a key."""
