"""Runs the scenarios against the bot: ``python -m examples.evals``.

Without OPENAI_API_KEY the bot talks with the sandbox. Logs are in ``build/evals``.
"""

import argparse
import asyncio
import os
import sys
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path

from pipecat.evals.results import EvalScriptResult
from pipecat.evals.suite import EvalManifest, EvalRun, EvalSuite

from pipecat_responses.sandbox import Sandbox, SandboxConfig

HERE = Path(__file__).parent
LOGS = HERE.parents[1] / "build" / "evals"
MODEL = SandboxConfig(persona=True, time_to_first_token=0.1, tokens_per_second=40, hosted_seconds=3)


def main() -> int:
    """Gives 0 if every scenario went as it should, and 1 if not."""
    parser = argparse.ArgumentParser("python -m examples.evals", description=__doc__)
    parser.add_argument("--scenario", help="only this one, by its name")
    parser.add_argument("--base-port", type=int, help="the port of the first bot (default: 7900)")
    options = parser.parse_args()
    if find_spec("fastapi") is None:
        # Each bot would be waited for.
        sys.exit("The bots of the scenarios need an extra: pip install '.[evals]'")
    suite = EvalSuite(EvalManifest.load(HERE / "suite.yaml", base_port=options.base_port))
    suite.filter(scenario=options.scenario)
    if not suite.runs:
        print(f"There is no scenario {options.scenario!r}.", file=sys.stderr)
        return 1
    return asyncio.run(_run(suite))


async def _run(suite: EvalSuite) -> int:
    async with AsyncExitStack() as stack:
        if not os.environ.get("OPENAI_API_KEY"):
            sandbox = await stack.enter_async_context(Sandbox(MODEL))
            os.environ["OPENAI_API_KEY"] = "any"
            os.environ["OPENAI_BASE_URL"] = sandbox.base_url
        await suite.run(LOGS)
    return max(_report(run) for run in suite.runs)


def _report(run: EvalRun) -> int:
    """Prints how a run went: 0 is well."""
    result = run.result
    passed = isinstance(result, EvalScriptResult) and result.passed and not result.skipped
    print(
        f"{'PASS' if passed else 'FAIL'}  {run.scenario}  ({(run.duration_ms or 0) / 1000:.1f} s)"
    )
    if run.error:
        print(f"      {run.error}")
    for failure in result.failures if isinstance(result, EvalScriptResult) else []:
        print(f"      {failure}")
    return 0 if passed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
