"""A call from a real browser: Chromium, whose microphone is a sound file, and whose ear is real."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from examples.voice.calls import MOST
from examples.voice.tts import SAMPLE_RATE, synthesizer

from pipecat_responses.sandbox import BackgroundSandbox, Fault
from tests.support.browser import PROGRAM

playwright = pytest.importorskip("playwright.sync_api")

ROOT = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium"),
    pytest.mark.timeout(180),
]

PATIENCE = 60_000
"""Milliseconds to wait for anything on the page."""


STATISTICS = """(async () => {
    inbound = (one) => one.type === "inbound-rtp";
    candidate = (one) => one.type.endsWith("-candidate");
    return [...(await call.pc.getStats()).values()];
})()"""
"""Those of the call, in the page."""


REFUSED = {"status": 401, "type": "invalid_request_error", "code": "invalid_api_key"}


@dataclass
class Server:
    """The server, in a process of its own."""

    process: subprocess.Popen[str]
    address: str

    def interrupt(self) -> tuple[int, str]:
        """Presses Ctrl-C.

        Returns:
            The exit status, and what was written to stderr.
        """
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


def serving(*options: str, **variables: str) -> Server:
    """Starts the server, and waits until it tells its address."""
    environment = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"}
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.voice", "--port", "0", *options],
        cwd=ROOT,
        env={**environment, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"^Open (\S+)", line):
            return Server(process, found[1])
    raise AssertionError(process.communicate()[1])


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = serving()
    yield started
    if started.process.poll() is None:
        started.interrupt()


def sound(path: Path, *said: str | float) -> Path:
    """Writes a sound file of sentences, and of silences in seconds between them."""
    pieces = [
        bytes(int(each * SAMPLE_RATE) * 2)
        if isinstance(each, (int, float))
        else synthesizer().speak(each).audio
        for each in said
    ]
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(b"".join(pieces))
    return path


@dataclass
class Browser:
    """A page in a browser, and what it did."""

    page: Any
    requests: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def says(self, selector: str, text: str) -> None:
        """Waits until something on the page contains a text."""
        self.page.locator(selector, has_text=text).first.wait_for(timeout=PATIENCE)

    def until(self, expression: str) -> Any:
        """Waits until an expression is true in the page, and returns it."""
        return self.page.wait_for_function(expression, timeout=PATIENCE).json_value()

    @property
    def problem(self) -> str:
        """What the page says is wrong."""
        text: str = self.page.inner_text("#problem")
        return text

    def transcript(self) -> list[tuple[str, str]]:
        """What the page shows of what was said: who or what, and the text."""
        lines = self.page.locator("#transcript li").all()
        return [
            (line.get_attribute("class") or "", line.locator(".said").inner_text())
            for line in lines
        ]


Open = Callable[..., Browser]


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Open]:
    """Opens pages; each call starts a browser with a microphone that hears a file."""
    closing: list[Callable[[], None]] = []

    def open_page(address: str, *said: str | float, microphone: bool = True) -> Browser:
        arguments = [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--autoplay-policy=no-user-gesture-required",
        ]
        if microphone:
            heard = sound(tmp_path / f"{len(closing)}.wav", *(said or (1.0,)))
            arguments += [
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-audio-capture={heard}%noloop",
            ]
        started = driver.chromium.launch(executable_path=PROGRAM, args=arguments)
        closing.append(started.close)
        page = started.new_page(viewport={"width": 900, "height": 700})
        opened = Browser(page)
        page.on("request", lambda request: opened.requests.append(request.url))
        page.on("console", lambda message: opened.console.append(message.text))
        page.on("pageerror", lambda error: opened.console.append(str(error)))
        page.goto(address)
        return opened

    with playwright.sync_playwright() as driver:
        yield open_page
        for close in reversed(closing):
            close()


def test_a_call_is_held_and_the_bot_can_be_interrupted(server: Server, browser: Open) -> None:
    call = browser(
        server.address,
        9.0,
        "What time is it?",
        11.0,
        "Please tell me a story.",
        11.0,
        "What time is it now?",
        20.0,
    )
    call.says("#about", "the sandbox on this machine")
    call.page.click("#call")
    call.says("#transcript .bot", "Hello! I can tell the time")
    call.says("#transcript .you", "what time is it")
    call.says("#transcript .tool", "current_time() →")
    call.says("#transcript .you", "tell me a story")
    call.says("#transcript .bot", "Once upon a time")
    call.says("#transcript .bot .note", "interrupted")
    call.says("#transcript .you", "what time is it now")
    call.until("() => document.querySelectorAll('#transcript .tool').length === 2")

    assert call.page.locator(".note", has_text="interrupted").count() == 1
    (story,) = [text for kind, text in call.transcript() if kind == "bot" and "Once" in text]
    assert not story.endswith("how it had got there.")
    assert call.until(f"() => ({STATISTICS}).then((all) => all.find(inbound).totalAudioEnergy)") > 0
    candidates = call.page.evaluate(
        f"() => ({STATISTICS}).then((all) => all.filter(candidate).map((one) => one.candidateType))"
    )
    assert set(candidates) <= {"host", "prflx"}

    call.page.click("#call")
    call.says("#status", "Not in a call.")
    assert call.problem == ""
    assert {urlsplit(each).hostname for each in call.requests} == {"localhost"}
    assert call.console == []


def test_a_microphone_that_is_refused_is_a_sentence(server: Server, browser: Open) -> None:
    call = browser(server.address, microphone=False)
    call.page.click("#call")
    call.says("#problem", "microphone")
    assert call.page.inner_text("#call") == "Call"
    assert call.console == []


def test_no_microphone_is_a_sentence(server: Server, browser: Open) -> None:
    call = browser(server.address, microphone=False)
    call.page.context.grant_permissions(["microphone"])
    call.page.click("#call")
    call.says("#problem", "There is no microphone: plug one in, then call again.")


def test_a_model_that_cannot_be_used_any_more_ends_the_call(browser: Open) -> None:
    with BackgroundSandbox() as sandbox:
        started = serving(OPENAI_API_KEY="sk-any", OPENAI_BASE_URL=sandbox.base_url)
        try:
            call = browser(started.address, 9.0, "What time is it?", 20.0)
            sandbox.faults.add(Fault("error", "request", times=9, params=REFUSED))
            call.page.click("#call")
            call.says("#transcript .bot", "Hello!")
            call.says("#problem", "refuses the API key: set OPENAI_API_KEY to one that is valid.")
            call.says("#status", "Not in a call.")
        finally:
            started.interrupt()


def test_a_key_that_is_refused_by_now_is_a_sentence(browser: Open) -> None:
    with BackgroundSandbox() as sandbox:
        started = serving(OPENAI_API_KEY="sk-any", OPENAI_BASE_URL=sandbox.base_url)
        try:
            call = browser(started.address)
            refused = Fault("handshake_status", "handshake", times=9, params={"status": 401})
            sandbox.faults.add(refused)
            call.page.click("#call")
            call.says("#problem", "refuses the API key: set OPENAI_API_KEY to one that is valid.")
            call.says("#status", "Not in a call.")
        finally:
            started.interrupt()


def test_when_all_lines_are_taken_the_next_caller_is_told(browser: Open) -> None:
    started = serving()
    try:
        calls = [browser(started.address) for _ in range(MOST + 1)]
        for call in calls[:-1]:
            call.page.click("#call")
            call.says("#transcript .bot", "Hello!")
        calls[-1].page.click("#call")
        calls[-1].says("#problem", "All lines are taken")
        calls[0].page.click("#call")
        calls[0].says("#status", "Not in a call.")
        # The server hears of that a moment later.
        while "All lines" in calls[-1].problem:
            calls[-1].page.click("#call")
            calls[-1].until("() => problem.textContent || transcript.textContent")
        calls[-1].says("#transcript .bot", "Hello!")
    finally:
        started.interrupt()


def test_ctrl_c_ends_a_call_and_the_page_says_so(browser: Open) -> None:
    started = serving()
    call = browser(started.address)
    call.page.focus("#call")
    call.page.keyboard.press("Enter")
    call.says("#transcript .bot", "Hello!")
    status, err = started.interrupt()
    assert status == 0
    assert err == ""
    call.says("#problem", "The bot has hung up.")
    call.page.click("#call")
    call.says("#problem", "The server does not answer")


def test_a_server_that_is_killed_is_a_sentence(browser: Open) -> None:
    started = serving()
    call = browser(started.address)
    call.page.click("#call")
    call.says("#transcript .bot", "Hello!")
    started.process.kill()
    started.process.communicate()
    call.says("#problem", "The connection to the bot was lost.")
