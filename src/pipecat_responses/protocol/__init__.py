"""What the Responses API and Pipecat mean: pure functions over plain values, without I/O."""
