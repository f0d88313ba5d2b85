"""One conversation with one server: plan, send, receive, recover.

``turn`` is one answer from request to end, over as many attempts as it takes; ``websocket`` and
``http`` are the two ways to make an attempt. Nothing here knows Pipecat.
"""
