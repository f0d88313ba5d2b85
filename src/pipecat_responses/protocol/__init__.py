"""The Responses protocol without I/O.

Everything a client has to *know* lives here: what items are and when two of them mean the same,
what a server remembers and which part of a context that covers, which lane a turn may use, how a
request is put together, what an event says and what an error calls for. Nothing here opens a
socket, starts a task or reads a clock: inputs come in as arguments, so tests are lists of inputs
and outputs.

Read in this order: ``items`` → ``speech`` → ``output`` → ``repairs`` → ``lanes`` → ``planning`` →
``requests`` → ``events`` → ``effects`` → ``connection`` (``response``, ``in_flight``, ``doubts``) →
``progress`` → ``failures`` → ``errors`` → ``retry`` → ``splice``.
"""
