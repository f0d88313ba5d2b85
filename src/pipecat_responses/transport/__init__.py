"""Moving bytes: one WebSocket, or one HTTP response, as the same events.

Nothing here knows what a conversation is. A transport writes what it is given, decodes what
arrives, and says when it has ended and why.
"""
