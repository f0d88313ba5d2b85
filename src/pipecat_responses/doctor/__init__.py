"""Finds out what a server can do, by asking it: the way there, the key, the model, each feature.

``diagnose`` runs all checks; ``pipecat-responses doctor`` prints what it finds. Messages are sent
as they are, without the sessions that recover from everything, so that the server itself is seen.
"""

from pipecat_responses.doctor.diagnosing import diagnose
from pipecat_responses.doctor.findings import CheckResult, Diagnosis, Verdict

__all__ = ["CheckResult", "Diagnosis", "Verdict", "diagnose"]
