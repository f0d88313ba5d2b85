"""A scripted call, the same for everybody: what the user says, and the nodes of a flow."""

from __future__ import annotations

import string
from dataclasses import dataclass
from typing import Any

from pipecat.adapters.llm.schemas.tools_schema import AdapterType, ToolsSchema

from benchmarks import material
from benchmarks.contestants import INSTRUCTIONS
from benchmarks.server.late import Kind, mark

NODES = 4
NODE_TURNS = 25
"""Turns after which the flow comes to its next node."""

TOOLS = 3
"""Functions of a node. Each node has a search besides, which the server runs."""

ROUND = 12
"""Turns after which the script begins anew."""

KINDS: dict[int, Kind] = {
    0: "interrupted",
    3: "search",
    4: "function",
    8: "function",
    9: "search",
}
"""What the turns of a round are, by number; all others are plain."""


LETTERS = string.ascii_uppercase
"""Whose turn it is, for the server: all of the same length, since it counts what is said."""


@dataclass(frozen=True)
class Turn:
    """A turn of the call.

    Attributes:
        number: Its number, from 1.
        kind: What happens in it.
        node: The node of the flow in which it takes place.
        is_new: Whether the flow comes to that node with it.
    """

    number: int
    kind: Kind
    node: int
    is_new: bool

    def asked(self, who: str) -> str:
        """What the user says.

        Args:
            who: The contestant's letter.
        """
        tool = f"tool_{self.node * TOOLS}" if self.kind == "function" else ""
        return mark(who, self.number, self.kind, tool) + material.text(80, self.number)


def turns(count: int) -> list[Turn]:
    """The first turns of the call."""
    return [
        Turn(
            number,
            KINDS.get(number % ROUND, "plain"),
            number // NODE_TURNS % NODES,
            number % NODE_TURNS == 0,
        )
        for number in range(1, count + 1)
    ]


def beginning(who: str) -> list[Any]:
    """What was said before the call's first turn, with the contestant's letter."""
    first, *others = material.context(10).get_messages()
    assert isinstance(first, dict)
    return [{**first, "content": mark(who, 0, "plain", "") + str(first["content"])}, *others]


def instructions(node: int) -> str:
    """What a node tells the model to do; the first one, what the services begin with."""
    return f"{INSTRUCTIONS} {material.text(800, node)}" if node else INSTRUCTIONS


def tools(node: int) -> ToolsSchema:
    """What a node lets the model do."""
    schema = material.schema(TOOLS, first=node * TOOLS)
    schema.custom_tools = {AdapterType.OPENAI: [{"type": "web_search"}]}
    return schema


def functions() -> list[str]:
    """The names of all nodes' functions."""
    return [f"tool_{number}" for number in range(NODES * TOOLS)]
