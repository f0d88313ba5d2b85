"""``python -m pipecat_responses.cli`` is ``pipecat-responses``."""

from pipecat_responses.cli import main

main()
