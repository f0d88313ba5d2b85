"""Measures these services beside Pipecat's own, in one run on one machine."""
