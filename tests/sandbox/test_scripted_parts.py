"""What scripts can put into a message: its phase, citations and log probabilities."""

import math
from typing import Any

import pytest
from openai.types.responses import Response

from pipecat_responses.sandbox import Answer, Citation, Reasoning, Refusal, Sandbox, Text
from pipecat_responses.sandbox.answers import answer_from_json
from pipecat_responses.sandbox.logprobs import logprob

from .test_rules import answer
from .wire import HTTP_EVENT, connected, needs_todays_sdk, post, stream, user

PNG = "data:image/png;base64,iVBORw0KGgo="
FILE = {"type": "file_citation", "file_id": "file-1", "filename": "a.md", "index": 5}
CITED = Text(
    "Bells ring (example.com). Fog falls.",
    annotations=[FILE, Citation("(example.com)", "https://example.com/", "Bells")],
)


@needs_todays_sdk
async def test_commentary_before_the_answer(sandbox: Sandbox) -> None:
    said = [Text("Let me see.", phase="commentary"), Text("It is noon.", phase="final_answer")]
    sandbox.script(Answer(said))
    events = await stream(sandbox, "x")
    for event in events:
        HTTP_EVENT.validate_python(event)
    phases = [item["phase"] for item in events[-1]["response"]["output"]]
    assert phases == ["commentary", "final_answer"]
    added = [event["item"] for event in events if event["type"] == "response.output_item.added"]
    assert [item["phase"] for item in added] == phases
    async with connected(sandbox) as wire:
        back = events[-1]["response"]["output"]
        response = await wire.respond([user("x"), *back, user("y")])
    assert "phase" not in response["output"][0]


@needs_todays_sdk
async def test_annotations_come_when_their_words_were_said(sandbox: Sandbox) -> None:
    sandbox.script(CITED)
    events = await stream(sandbox, "x")
    said, at = "", {}
    for event in events:
        HTTP_EVENT.validate_python(event)
        if event["type"] == "response.output_text.delta":
            said += event["delta"]
        elif event["type"] == "response.output_text.annotation.added":
            at[event["annotation_index"]] = said
    assert at == {0: "Bells", 1: "Bells ring (example.com)."}
    (part,) = events[-1]["response"]["output"][0]["content"]
    file, web = part["annotations"]
    assert file == FILE
    assert part["text"][web["start_index"] : web["end_index"]] == "(example.com)"


async def test_what_was_not_said_is_not_annotated(sandbox: Sandbox) -> None:
    long = " ".join(["word"] * 30) + " end"
    sandbox.script(Text(long, annotations=[Citation("end", "https://example.com/")]))
    _, body = await post(sandbox, "x", max_output_tokens=16)
    assert body["output"][0]["content"][0]["annotations"] == []


@needs_todays_sdk
@pytest.mark.parametrize(
    ("fields", "top"),
    [
        ({"include": ["message.output_text.logprobs"]}, 0),
        ({"include": ["message.output_text.logprobs"], "top_logprobs": 3}, 3),
        ({"top_logprobs": 2}, 2),
    ],
)
async def test_log_probabilities(sandbox: Sandbox, fields: dict[str, Any], top: int) -> None:
    events = await stream(sandbox, "hello", **fields)
    for event in events:
        HTTP_EVENT.validate_python(event)
    Response.model_validate(events[-1]["response"])
    (part,) = events[-1]["response"]["output"][0]["content"]
    entries = part["logprobs"]
    assert "".join(entry["token"] for entry in entries) == part["text"]
    assert "".join(bytes(entry["bytes"]).decode() for entry in entries) == part["text"]
    streamed = [each for event in events for each in event.get("logprobs", ())]
    deltas = [each["token"] for each in streamed[: len(entries)]]
    assert deltas == [entry["token"] for entry in entries]
    for entry in entries:
        tops = entry["top_logprobs"]
        assert len(tops) == top
        assert entry["logprob"] <= 0
        assert sum(math.exp(each["logprob"]) for each in tops) <= 1.001
        assert tops == sorted(tops, key=lambda each: -each["logprob"])


async def test_none_without_being_asked(sandbox: Sandbox) -> None:
    events = await stream(sandbox, "hello")
    assert all(event.get("logprobs", []) == [] for event in events)
    assert events[-1]["response"]["output"][0]["content"][0]["logprobs"] == []


async def test_scripted_log_probabilities(sandbox: Sandbox) -> None:
    sandbox.script(Text("Hi there", tokens=["Hi", " there"], logprobs=[-0.5, -2.0]))
    _, body = await post(sandbox, "x", top_logprobs=1)
    entries = body["output"][0]["content"][0]["logprobs"]
    assert [entry["logprob"] for entry in entries] == [-0.5, -2.0]
    assert logprob("a", 2) == logprob("a", 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"annotations": [Citation("absent", "https://example.com/")]},
        {"logprobs": [-1.0]},
        {"tokens": ["Hi"], "logprobs": [-1.0, -2.0]},
        {"phase": "thinking"},
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"[Tt]ext"):
        Text("Hi", **fields)


def test_parts_as_the_control_endpoint_takes_them() -> None:
    cited = {"quote": "(example.com)", "url": "https://example.com/", "title": "Bells"}
    parts = [
        {"type": "text", "text": CITED.text, "annotations": [FILE, cited], "phase": "commentary"},
        {"type": "reasoning", "summary": ["One.", "Two."]},
        {"type": "refusal", "text": "No."},
    ]
    text, reasoning, refusal = answer_from_json({"parts": parts}).items
    assert isinstance(text, Text)
    assert (text.notes, text.phase) == (CITED.notes, "commentary")
    assert reasoning == Reasoning(["One.", "Two."])
    assert refusal == Refusal("No.")


def test_images_are_acknowledged() -> None:
    image = {"type": "input_image", "image_url": PNG}
    parts = [{"type": "input_text", "text": "Look"}, image, image]
    assert answer([user(parts)]).text == 'You said: "Look". I see 2 images. I remember 1 item.'
    file = {"type": "input_file", "file_id": "file-1"}
    one = answer([user([*parts[:2], file])]).text
    assert one == 'You said: "Look". I see 1 image and 1 file. I remember 1 item.'
