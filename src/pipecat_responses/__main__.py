"""``python -m pipecat_responses`` is ``pipecat-responses``."""

from pipecat_responses.cli import main

main()
