"""What of a prompt was in the server's prompt cache, and what is written there.

There are two ways (OpenAI's guide to prompt caching, and the SDK's ``PromptCacheOptions``). Models
before gpt-5.6 reuse any prefix that was seen, in steps of so many tokens. From gpt-5.6 on a prefix
is written where a request has a breakpoint, and found again at exactly that place: one breakpoint
comes by itself after the newest item, others where a part has ``prompt_cache_breakpoint``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pipecat_responses.sandbox.composer import InputUsage
from pipecat_responses.sandbox.config import SandboxConfig, caches_at_breakpoints
from pipecat_responses.sandbox.memory import PrefixCache, Prompt
from pipecat_responses.sandbox.transcript import Item, Transcript, fingerprint, item_tokens

_MOST_WRITTEN = 4
_MOST_CONSIDERED = 80


class Breakpoint(NamedTuple):
    """A place in a prompt.

    Attributes:
        key: A hash of all that comes before it.
        tokens: The tokens of that.
    """

    key: int
    tokens: int


def by_breakpoints(config: SandboxConfig, model: str) -> bool:
    """Whether the prompts of a model are cached at breakpoints."""
    if config.cache_matching == "by_model":
        return caches_at_breakpoints(config.family(model))
    return config.cache_matching == "breakpoints"


def use_cache(
    cache: PrefixCache, prompt: Prompt, body: Mapping[str, Any], config: SandboxConfig
) -> InputUsage:
    """What a request's input costs, which is in the cache from then on.

    Args:
        cache: The cache.
        prompt: The request as the cache sees it.
        body: The request.
        config: How the server caches.

    Returns:
        The tokens of the input.
    """
    minimum, step = config.cache_minimum_tokens, config.cache_step_tokens
    if not by_breakpoints(config, body["model"]):
        cached = cache.cached_tokens(prompt, minimum=minimum, step=step)
        cache.note(prompt, step=step)
        return InputUsage(prompt.tokens, cached, 0)
    options = body.get("prompt_cache_options") or {}
    explicit = list(_explicit(prompt))
    places = explicit[-_MOST_CONSIDERED:]
    writes = explicit[-_MOST_WRITTEN:]
    if options.get("mode", "implicit") == "implicit":
        places = [*places, *_ends(prompt)]
        writes = [*explicit[1 - _MOST_WRITTEN :], _end(prompt, prompt.transcript)]
    cached = max((place.tokens for place in places if cache.holds(place.key)), default=0)
    writes = [place for place in writes if place.tokens >= minimum]
    cache.hold(place.key for place in writes)
    longest = max((place.tokens for place in writes), default=0)
    return InputUsage(prompt.tokens, cached, max(0, longest - cached))


def _key(prompt: Prompt, chain: int) -> int:
    return hash((prompt.root, prompt.instructions, chain))


def _end(prompt: Prompt, transcript: Transcript) -> Breakpoint:
    return Breakpoint(_key(prompt, transcript.chain), prompt.before_items + transcript.tokens)


def _ends(prompt: Prompt) -> Iterator[Breakpoint]:
    """The end of each item, and of what comes before all items."""
    link: Transcript | None = prompt.transcript
    while link is not None:
        for chain, tokens in link.marks:
            yield Breakpoint(_key(prompt, chain), prompt.before_items + tokens)
        link = link.parent
    yield _end(prompt, Transcript())


def _explicit(prompt: Prompt) -> Iterator[Breakpoint]:
    """The places that are marked, first things first."""
    links = [prompt.transcript]
    while (parent := links[-1].parent) is not None:
        links.append(parent)
    for link in reversed(links):
        before = (link.parent.chain, link.parent.tokens) if link.parent else (0, 0)
        for item, mark in zip(link.added, link.marks, strict=True):
            for beginning in _beginnings(item):
                key = _key(prompt, hash((before[0], fingerprint(beginning))))
                tokens = before[1] + item_tokens(beginning)
                yield Breakpoint(key, prompt.before_items + tokens)
            before = mark


def _beginnings(item: Item) -> Iterator[Item]:
    """An item as far as each of the breakpoints in it."""
    field = "output" if "output" in item else "content"
    content = item.get(field)
    parts = content if isinstance(content, list) else []
    for index, part in enumerate(parts):
        if isinstance(part, dict) and part.get("prompt_cache_breakpoint"):
            yield {**item, field: parts[: index + 1]}
