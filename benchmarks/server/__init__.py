"""The servers that the contestants talk to, in a process of their own."""

from benchmarks.server.handle import Request, Server

__all__ = ["Request", "Server"]
