"""What a Pipecat context says, as items of the API, each message converted once."""
