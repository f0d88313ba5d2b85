"""What the scripts have in common: each case is run, and told in a line of JSON."""

import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from typing import Any

BASE_URL, TRANSPORT = sys.argv[1], sys.argv[2]
MODEL = "gpt-4.1"
COUNT = "count to 20"
COUNTED = ", ".join(str(number) for number in range(1, 21)) + "."
WEATHER = "What is the weather in San Francisco? Please call get_weather."
TURNS = ("The word is maple.", "How are you?", "Which word was it?")
PERSON = "Ada is 36 years old."


def run(cases: dict[str, Callable[[], Any]]) -> None:
    """Runs cases; a coroutine is awaited in one event loop for all."""

    async def all_of_them() -> None:
        for name, case in cases.items():
            try:
                result = case()
                if inspect.isawaitable(result):
                    await asyncio.wait_for(result, 20)
                tell(name, True)
            except BaseException as error:
                tell(name, False, f"{type(error).__name__}: {error}"[:600])

    asyncio.run(all_of_them())


def tell(case: str, ok: bool, detail: str = "") -> None:
    """Prints what came of a case."""
    print(json.dumps({"case": case, "ok": ok, "detail": detail}), flush=True)


def check(found: Any, wanted: Any) -> None:
    """Compares."""
    if isinstance(wanted, str) and isinstance(found, str):
        if wanted not in found:
            raise AssertionError(f"{wanted!r} is not in {found!r}")
    elif found != wanted:
        raise AssertionError(f"{found!r} is not {wanted!r}")
