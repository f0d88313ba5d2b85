"""Chromium without a window, by its own protocol, for tests of pages."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import websockets

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
"""Chromium, if it is installed."""

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)
_KEYS = {"Tab": 9, "Enter": 13}
_UNTIL = """new Promise((done) => {
  const look = () => (%s) && done(true);
  new MutationObserver(look).observe(document, {
    attributes: true, characterData: true, childList: true, subtree: true,
  });
  look();
})"""


class Page:
    """A page in the browser.

    Attributes:
        problems: What it has complained of: errors, warnings, and dialogs.
        requested: The addresses that it has asked for.
    """

    def __init__(self, socket: websockets.ClientConnection) -> None:
        """Talks over a connection with the browser."""
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._session: str | None = None
        self.problems: list[Any] = []
        self.requested: list[str] = []

    async def open(self, url: str) -> None:
        """Begins the page, and waits until it is there."""
        target = await self.send("Target.createTarget", url="about:blank")
        attached = await self.send("Target.attachToTarget", **target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.send(f"{domain}.enable")
        await self.send("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def send(self, method: str, **params: Any) -> Any:
        """Sends a command of the protocol, and waits for its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        await self._socket.send(json.dumps(message))
        async with asyncio.timeout(60):
            return await answer

    async def read(self) -> None:
        """Reads what the browser says, until it ends."""
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                answer = self._waiting.pop(message["id"])
                if "error" in message:
                    answer.set_exception(RuntimeError(message["error"]["message"]))
                else:
                    answer.set_result(message["result"])
                continue
            match message["method"]:
                case "Network.requestWillBeSent":
                    self.requested.append(message["params"]["request"]["url"])
                case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded":
                    self.problems.append(message["params"])
                case "Page.javascriptDialogOpening":
                    self.problems.append(message["params"])

    async def value(self, expression: str) -> Any:
        """The value of an expression in the page."""
        result = await self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"]["description"])
        return result["result"].get("value")

    async def until(self, condition: str) -> None:
        """Waits until an expression is true, which is looked at whenever the page changes."""
        async with asyncio.timeout(20):
            while True:
                try:
                    await self.value(_UNTIL % condition)
                except RuntimeError as error:
                    # The page that was asked has made way for the next one.
                    if "navigated" not in str(error) and "destroyed" not in str(error):
                        raise
                    continue
                return

    async def click(self, selector: str) -> None:
        """Clicks the middle of an element."""
        x, y = await self.value(
            f"""(() => {{
              const element = {selector};
              element.scrollIntoView({{ block: "center" }});
              const box = element.getBoundingClientRect();
              return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.send(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    async def press(self, key: str) -> None:
        """Presses ``Tab`` or ``Enter``."""
        named = {"key": key, "code": key, "windowsVirtualKeyCode": _KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}
        await self.send("Input.dispatchKeyEvent", type="keyDown", **named, **text)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **named)

    async def type(self, text: str) -> None:
        """Types a text where the keyboard is."""
        await self.send("Input.insertText", text=text)


@asynccontextmanager
async def browsing(url: str, profile: Path) -> AsyncIterator[Page]:
    """Opens a page.

    Args:
        url: Its address.
        profile: An empty folder for the browser's files.
    """
    assert PROGRAM is not None
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, *_FLAGS, f"--user-data-dir={profile}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        address = ""
        async with asyncio.timeout(60):
            while not address:
                line = (await process.stderr.readline()).decode(errors="replace")
                assert line, "the browser has ended"
                address = line.partition("DevTools listening on ")[2].strip()
        # It goes on to write there, and must not have to wait for a reader.
        drain = asyncio.create_task(process.stderr.read())
        async with websockets.connect(address, max_size=None, proxy=None) as socket:
            page = Page(socket)
            reader = asyncio.create_task(page.read())
            await page.open(url)
            yield page
            await page.send("Browser.close")
            reader.cancel()
        await drain
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
