"""The two tools of the chat: the time, and a calculator."""

from __future__ import annotations

from datetime import datetime

from pipecat.adapters.llm.schemas.direct_function import DirectFunction
from pipecat.adapters.llm.schemas.function_schema import FunctionSchema
from pipecat.services.llm_service import FunctionCallParams

from pipecat_responses.cli.arithmetic import calculate_text


async def current_time(params: FunctionCallParams) -> None:
    """Tell the date and the time of day."""
    now = datetime.now().astimezone()
    await params.result_callback(f"{now:%H:%M on %A, %d %B %Y} ({now:UTC%z})")


async def calculate(params: FunctionCallParams, expression: str) -> None:
    """Calculate an arithmetic expression.

    Args:
        params: Given by Pipecat.
        expression: Numbers with + - * / // % ** and brackets, such as 2 * (3 + 4).
    """
    try:
        result = calculate_text(expression)
    except ValueError as error:
        result = str(error)
    await params.result_callback(result)


TOOLS: list[FunctionSchema | DirectFunction] = [current_time, calculate]
"""The tools, as Pipecat takes them."""
