"""The API's own tools, as if they had run: items with plausible contents, and what is said of them.

A tool is used when the user's words ask for it ("search the web", "draw", "run"), or when the
request's ``tool_choice`` demands it.
"""

from __future__ import annotations

import base64
import io
import re
import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pipecat_responses.sandbox.answers import Citation, HostedCall, ModelInput, Part, Text
from pipecat_responses.sandbox.arithmetic import as_python, expression_in, result_of
from pipecat_responses.sandbox.choices import Choice, Tool, family
from pipecat_responses.sandbox.mentions import Mentions
from pipecat_responses.sandbox.remote import call_of_server, server_asks
from pipecat_responses.sandbox.transcript import Item, item_text

Parts = tuple[Part, ...]

_ASKS = {
    "web_search": r"search|google|internet|online|the web|news|latest|look (?:\w+ )?up|browse",
    "file_search": r"files?|documents?|docs|pdfs?|handbook|manual|knowledge base|policy|search",
    "code_interpreter": r"python|code|run|compute|calculate|plot|chart|csv|solve",
    "image_generation": r"draw|paint|sketch|illustrate|(?:image|picture|photo|logo|drawing) of|"
    r"(?:generate|create|make|edit)\b.*\b(?:image|picture|photo|logo|icon|drawing)",
    "shell": r"shell|terminal|bash|command|directory|run|list (?:all |the |my )?files",
    "local_shell": r"shell|terminal|bash|command|directory|run|list (?:all |the |my )?files",
    "apply_patch": r"patch|(?:edit|rename|refactor|create|fix|update|write|delete|change|add)\b.*"
    r"(?:\bfile\b|\w\.\w+)",
    "computer": r"screen|screenshot|click|browser",
}
_PATH = re.compile(r"(?:[\w-]+/)*[\w-]+\.[A-Za-z]\w*")
_COMMAND = re.compile(r"`([^`]+)`")
_OUTPUTS = (
    "shell_call_output",
    "local_shell_call_output",
    "apply_patch_call_output",
    "computer_call_output",
)


def hosted_parts(given: ModelInput, choice: Choice, *, forced: bool) -> Parts:
    """Runs one of the API's own tools.

    Args:
        given: What the model sees.
        choice: What the request lets it use.
        forced: Whether to run the first of these tools though nobody asked for any.

    Returns:
        The tool's item, and a text about it unless the client has to run the tool or to allow it;
        empty when no tool fits.
    """
    text = given.last_user_text or ""
    for tool in choice.tools:
        kind = family(tool["type"])
        if kind == "mcp":
            if forced or server_asks(tool, text):
                return call_of_server(tool, text, choice.tool, given.seed)
        elif kind in _RUNS and (forced or _asks(kind, text)):
            return _RUNS[kind](tool, text, given)
    return ()


def report_of_outputs(given: ModelInput) -> str | None:
    """What is said of the outputs of tools that clients run, if such are the last of all."""
    outputs: list[Item] = []
    for item in given.newest_first():
        if item.get("type") not in _OUTPUTS:
            break
        outputs.insert(0, item)
    return " ".join(map(_report, outputs)) or None


def _report(item: Item) -> str:
    name = item["type"].removesuffix("_call_output").replace("_", " ")
    output = item.get("output")
    if item["type"] == "shell_call_output" and isinstance(output, list):
        said = " ".join((each.get("stdout") or each.get("stderr") or "").strip() for each in output)
    elif item["type"] == "computer_call_output":
        said = "here is the screen"
    else:
        said = item_text(item) or str(item.get("status", "completed"))
    return f"The {name} says {said}."


def _asks(kind: str, text: str) -> bool:
    if kind == "code_interpreter" and expression_in(text):
        return True
    return re.search(rf"\b(?:{_ASKS[kind]})\b", text, re.IGNORECASE) is not None


def _includes(given: ModelInput, what: str) -> bool:
    return what in (given.settings.get("include") or ())


def _topic(text: str) -> str:
    found = Mentions(text).of_kind("topic")
    return found[0] if found else text.strip(" .?!") or "everything"


def _mark(text: str) -> str:
    """Letters and digits for an id; the same text has the same."""
    return f"{zlib.crc32(text.encode()):08x}"


def _web_search(tool: Tool, text: str, given: ModelInput) -> Parts:
    topic = _topic(text)
    slug = "-".join(re.findall(r"\w+", topic.lower())[:6]) or "page"
    pages = [(f"https://example.com/{slug}", "Example Encyclopedia")]
    pages.append((f"https://example.org/news/{slug}", "Example News"))
    action: dict[str, Any] = {"type": "search", "query": topic, "queries": [topic]}
    if _includes(given, "web_search_call.action.sources"):
        action["sources"] = [{"type": "url", "url": url} for url, _ in pages]
    quotes = [f"([{url.split('/')[2]}]({url}))" for url, _ in pages]
    said = (
        f"I searched the web for {topic}. Example Encyclopedia has a page about it {quotes[0]}, "
        f"and Example News reported on it {quotes[1]}."
    )
    cited = [Citation(quote, url, title) for quote, (url, title) in zip(quotes, pages, strict=True)]
    return (
        HostedCall({"type": "web_search_call", "action": action}),
        Text(said, annotations=cited),
    )


def _file_search(tool: Tool, text: str, given: ModelInput) -> Parts:
    topic = _topic(text)
    store = str(tool.get("vector_store_ids"))
    file = {"file_id": f"file-{_mark(store)}", "filename": "handbook.md"}
    passage = f"This chapter is about {topic}."
    results = [{**file, "attributes": {}, "score": 0.87, "text": passage}]
    included = _includes(given, "file_search_call.results")
    item = {
        "type": "file_search_call",
        "queries": [topic],
        "results": results if included else None,
    }
    said = f"The handbook has a chapter about {topic}."
    note = {"type": "file_citation", **file, "index": len(said) - 1}
    return HostedCall(item), Text(said, annotations=[note])


def _code_interpreter(tool: Tool, text: str, given: ModelInput) -> Parts:
    expression = expression_in(text)
    code = f"print({as_python(expression)})" if expression else f"print({text!r})"
    logs = result_of(expression) if expression else text
    container = tool.get("container")
    item = {
        "type": "code_interpreter_call",
        "code": code,
        "container_id": container if isinstance(container, str) else f"cntr_{_mark(text)}",
        "outputs": [{"type": "logs", "logs": f"{logs}\n"}]
        if _includes(given, "code_interpreter_call.outputs")
        else None,
    }
    return HostedCall(item), Text(f"I ran the code, and the result is {logs}.")


def _image_generation(tool: Tool, text: str, given: ModelInput) -> Parts:
    size = str(tool.get("size") or "auto")
    size = "1024x1024" if size == "auto" else size
    kind = str(tool.get("output_format") or "png")
    item = {
        "type": "image_generation_call",
        "action": "generate",
        "background": _settled(tool.get("background"), "opaque"),
        "output_format": kind,
        "quality": _settled(tool.get("quality"), "medium"),
        "size": size,
        "revised_prompt": text,
        "result": picture(size, kind, _mark(text)[:6]),
    }
    number = tool.get("partial_images")
    partial = [picture(size, kind, "808080")] * (number if isinstance(number, int) else 0)
    return HostedCall(item, partial_images=partial), Text("Here is the picture.")


def _settled(value: object, usual: str) -> object:
    return usual if value in (None, "auto") else value


@lru_cache(maxsize=32)
def picture(size: str, kind: str, color: str) -> str:
    """A picture of one color.

    Args:
        size: Its width and height, as ``1024x1024``.
        kind: ``png``, ``jpeg`` or ``webp``; anything else is a PNG.
        color: Six hexadecimal digits.

    Returns:
        The picture, base64.
    """
    from PIL import Image

    width, _, height = size.partition("x")
    whole = (int(width), int(height)) if width.isdigit() and height.isdigit() else (1024, 1024)
    out = io.BytesIO()
    form = kind if kind in ("png", "jpeg", "webp") else "png"
    Image.new("RGB", whole, f"#{color}").save(out, form)
    return base64.b64encode(out.getvalue()).decode()


def _shell(tool: Tool, text: str, given: ModelInput) -> Parts:
    action = {"commands": _commands(text), "timeout_ms": 120_000, "max_output_length": 4096}
    return (HostedCall({"type": "shell_call", "action": action, "environment": None}),)


def _local_shell(tool: Tool, text: str, given: ModelInput) -> Parts:
    command = ["bash", "-lc", " && ".join(_commands(text))]
    action = {"type": "exec", "command": command, "env": {}}
    return (HostedCall({"type": "local_shell_call", "action": action}),)


def _commands(text: str) -> list[str]:
    return _COMMAND.findall(text) or Mentions(text).of_kind("quoted") or ["ls -la"]


def _apply_patch(tool: Tool, text: str, given: ModelInput) -> Parts:
    path = found[0] if (found := _PATH.search(text)) else "notes.md"
    operation: dict[str, Any] = {"type": "update_file", "path": path}
    if re.search(r"\b(?:delete|remove)\b", text, re.IGNORECASE):
        operation["type"] = "delete_file"
    elif re.search(r"\b(?:create|write|new|add)\b", text, re.IGNORECASE):
        operation = {"type": "create_file", "path": path, "diff": f"+{text}\n"}
    else:
        operation["diff"] = f"@@\n-before\n+{text}\n"
    return (HostedCall({"type": "apply_patch_call", "operation": operation}),)


def _computer(tool: Tool, text: str, given: ModelInput) -> Parts:
    item = {
        "type": "computer_call",
        "action": {"type": "screenshot"},
        "pending_safety_checks": [],
    }
    return (HostedCall(item),)


_RUNS: dict[str, Callable[[Tool, str, ModelInput], Parts]] = {
    "web_search": _web_search,
    "file_search": _file_search,
    "code_interpreter": _code_interpreter,
    "image_generation": _image_generation,
    "shell": _shell,
    "local_shell": _local_shell,
    "apply_patch": _apply_patch,
    "computer": _computer,
}
