"""Optional parts of a request that a server refuses, and requests without them.

Servers differ in what they take, and one that does not take a part says so in its own words: with
the API's ``param``, with a validator's list of places, or in a sentence. Whatever a conversation
can do without is left out from then on (``ServerCapabilities.refused``), so that it costs one
request. What it cannot do without stays: the model, the conversation, the tools, the form of the
answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipecat_responses.protocol.encoding import encode_mended
from pipecat_responses.protocol.errors import ResponsesError
from pipecat_responses.protocol.failures import Failure
from pipecat_responses.protocol.tool_choice import ALLOWED, is_allowed_tools, narrowed

_ESSENTIAL = frozenset({"input", "instructions", "model", "text.format", "tools", "type"})
"""Without these a conversation would be another one."""

_OF_A_TOOL = frozenset({"allowed_callers", "defer_loading", "description", "strict"})
"""What a tool can do without."""

_ENTRIES = "[]"
"""In a path: each entry of a list."""

_REFUSALS = (Failure.REQUEST, Failure.CONTENT, Failure.NO_WARM_UP)
"""Kinds of failures that may be about an optional part."""

_UNKNOWN_CODES = frozenset({"unknown_parameter", "unsupported_parameter", "extra_forbidden"})
_OTHER_CODES = frozenset({"invalid_value", "unsupported_value", "invalid_type"})

_UNKNOWN = re.compile(
    r"\b(unknown|unrecogni[sz]ed|(is|are) unsupported"
    r"|expected null|(unexpected|unsupported) (keyword|parameter|field|argument|option|property)"
    r"|(not|n't) (currently |yet )?(support|permitted|allowed|accept|recogni[sz]ed|implement)"
    r"|extra (inputs|fields|keys)|no such (parameter|field))",
    re.IGNORECASE,
)
_A_VALUE = re.compile(r"\b(invalid|unsupported) value\b", re.IGNORECASE)
_OF_A_MODEL = re.compile(r"\bmodel\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class RefusedOption:
    """An optional part of a request that a server does not take.

    Attributes:
        path: Where it stands: ``"prompt_cache_key"``, ``"text.verbosity"``, ``"tools[].strict"``.
        why: What the server said.
        value: The value that it refuses, as JSON, or None if it takes none. In a list, such as
            ``include``, it is one entry.
        model: The model that does not take it, or None if the server does not for any.
    """

    path: str
    why: str = ""
    value: str | None = None
    model: str | None = None


def refused_option(error: ResponsesError, values: Mapping[str, Any]) -> RefusedOption | None:
    """Which optional part of a request an error refuses, if it is one.

    Args:
        error: The error.
        values: The request's fields, without its input.

    Returns:
        The part; None if the error is about something else, or does not say what it is about.
    """
    if not may_refuse_option(error):
        return None
    found = _named(error.param, values) if error.param else _in_words(error.message, values)
    unknown = says_unknown(error)
    of_model = not unknown or _OF_A_MODEL.search(error.message) is not None
    if _is_about_allowed_tools(error, found, values, unknown=unknown):
        model = str(values.get("model")) if of_model else None
        return replace(allowed_tools_refused(error.message), model=model)
    if found is None:
        return None
    path, value, entry = found
    # A server that does not store may know the field all the same.
    one_value = entry or not unknown or (path, value) == ("store", True)
    return RefusedOption(
        path,
        error.message,
        value=_json(value) if one_value else None,
        model=str(values.get("model")) if of_model and not entry else None,
    )


def allowed_tools_refused(why: str) -> RefusedOption:
    """What it means that a server does not take a choice among the tools, whichever it names.

    Args:
        why: What it said or did.
    """
    return RefusedOption("tool_choice.type", why, _json(ALLOWED))


def _is_about_allowed_tools(
    error: ResponsesError,
    found: tuple[str, Any, bool] | None,
    values: Mapping[str, Any],
    *,
    unknown: bool,
) -> bool:
    """Whether it is this kind of choice that is refused, whichever tools it names."""
    if not is_allowed_tools(values.get("tool_choice")):
        return False
    if found is None:
        return not error.param and _stands_in(ALLOWED, error.message)
    path = found[0]
    return path.startswith("tool_choice.") or (path == "tool_choice" and not unknown)


def may_refuse_option(error: ResponsesError) -> bool:
    """Whether an error is of a kind that can be about an optional part of a request."""
    if error.failure in _REFUSALS:
        return error.status in (None, 400, 422)
    # A look-alike may leave status and type out.
    return error.failure is Failure.SERVER and error.status is None and says_unknown(error)


def says_unknown(error: ResponsesError) -> bool:
    """Whether an error says that something is not known at all, not that its value is wrong."""
    if error.code in _UNKNOWN_CODES or error.code in _OTHER_CODES:
        return error.code in _UNKNOWN_CODES
    return not _A_VALUE.search(error.message) and _UNKNOWN.search(error.message) is not None


def names(error: ResponsesError, field: str) -> bool:
    """Whether an error names a field of a request."""
    if error.param:
        return field in _tokens(error.param)
    return _stands_in(field, error.message)


def without(values: Mapping[str, Any], refused: Iterable[RefusedOption]) -> dict[str, Any]:
    """A request's fields without what is refused.

    Where that is a choice among the tools, those that were not to be called are not declared.

    Args:
        values: The fields.
        refused: What the server does not take.

    Returns:
        A copy; what it shares with ``values`` is not changed.
    """
    result = dict(values)
    model = str(values.get("model"))
    for option in refused:
        if option.model is None or option.model == model:
            name, *rest = _segments(option.path)
            if name in result:
                left = _taken_out(result[name], rest, option.value)
                if left is not _NOTHING:
                    result[name] = left
                elif name == "store" and result[name] is True:
                    # What is left out may mean the server's default, which may be to store.
                    result[name] = False
                else:
                    del result[name]
    return narrowed(values, result)


class _Nothing:
    """Nothing is left."""


_NOTHING = _Nothing()


def _taken_out(value: Any, rest: Sequence[str], refused: str | None) -> Any:
    if rest and rest[0] == _ENTRIES and isinstance(value, list):
        return [_taken_out(each, rest[1:], refused) for each in value]
    if rest:
        if not isinstance(value, Mapping) or rest[0] not in value:
            return value
        inner = _taken_out(value[rest[0]], rest[1:], refused)
        others = {name: each for name, each in value.items() if name != rest[0]}
        left = others if inner is _NOTHING else {**value, rest[0]: inner}
        return left or _NOTHING
    if refused is not None and isinstance(value, list) and _json(value) != refused:
        return [each for each in value if _json(each) != refused] or _NOTHING
    return value if refused is not None and _json(value) != refused else _NOTHING


def _json(value: Any) -> str:
    return encode_mended(value).decode()


# -- what is named ----------------------------------------------------------------------------

_TOKEN = re.compile(r"[A-Za-z_]\w*|\d+")


def _tokens(param: str) -> list[str]:
    """The names and indices of a ``param``, however it is written."""
    return _TOKEN.findall(param)


def _segments(path: str) -> list[str]:
    return [each for part in path.split(".") for each in part.replace("[]", ".[]").split(".")]


def _named(param: str, values: Mapping[str, Any]) -> tuple[str, Any, bool] | None:
    """What a ``param`` names of a request: where, its value, whether it is an entry of a list.

    Validators put the names of their own classes in between; those are passed over.
    """
    path = ""
    value: Any = values
    entry = False
    for token in _tokens(param):
        if isinstance(value, Mapping) and token in value:
            path = f"{path}.{token}" if path else token
            value, entry = value[token], False
        elif isinstance(value, list) and token.isdigit() and int(token) < len(value):
            value = value[int(token)]
            entry = not isinstance(value, Mapping)
            path += "" if entry else _ENTRIES
        elif not path and token in _ESSENTIAL:
            # Something in the conversation may be called like a field.
            return None
    return (path, value, entry) if path and _is_optional(path, value) else None


def _in_words(message: str, values: Mapping[str, Any]) -> tuple[str, Any, bool] | None:
    """What a sentence names of a request."""
    candidates = sorted(_candidates(values), key=lambda each: len(each[0]), reverse=True)
    for label, path, value, entry in candidates:
        if _is_optional(path, value) and _stands_in(label, message):
            return path, value, entry
    return None


def _candidates(values: Mapping[str, Any]) -> Iterator[tuple[str, str, Any, bool]]:
    for name, value in values.items():
        yield name, name, value, False
        if isinstance(value, Mapping):
            for inner, each in value.items():
                yield f"{name}.{inner}", f"{name}.{inner}", each, False
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, str):
                    yield each, name, each, True


def _is_optional(path: str, value: Any) -> bool:
    if path in _ESSENTIAL or path.startswith("text.format"):
        return False
    if path == "text":
        return not (isinstance(value, Mapping) and "format" in value)
    if path.startswith("tools"):
        return path.count(_ENTRIES) == 1 and path.rpartition(".")[2] in _OF_A_TOOL
    return True


def _stands_in(label: str, message: str) -> bool:
    name = re.escape(label)
    if "_" in label or "." in label:
        return re.search(rf"(?<![\w.]){name}(?!\w)", message) is not None
    # A common word counts only where it is meant as a name.
    return (
        re.search(
            rf"""['"`]{name}['"`]"""
            rf"|\b(?:parameter|argument|field|property|option|key)s?"
            rf"(?: \w+){{,2}}\W{{1,4}}{name}\b"
            rf"|\b{name} (?:(?:is|are) (?:not|un)|must be )"
            rf"|\b(?:body|request)\W{{1,4}}{name}\b"
            rf"|^{name}$",
            message,
            re.MULTILINE | re.IGNORECASE,
        )
        is not None
    )
