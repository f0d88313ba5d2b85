"""Chromium without a window, by its own protocol, for tests of pages."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
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
_KEYS = {
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}
_UNTIL = """new Promise((done) => {
  const look = () => (%s) && done(true);
  new MutationObserver(look).observe(document, {
    attributes: true, characterData: true, childList: true, subtree: true,
  });
  document.addEventListener("readystatechange", look);
  look();
})"""


class Page:
    """A page in the browser.

    Attributes:
        problems: What it has complained of: errors, warnings, and dialogs.
        requested: The addresses that it has asked for.
        context: What commands to the browser are told that are about this page.
    """

    def __init__(self, socket: websockets.ClientConnection) -> None:
        """Talks over a connection with the browser."""
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._session: str | None = None
        self.context: dict[str, str] = {}
        self.problems: list[Any] = []
        self.requested: list[str] = []

    async def open(self, url: str) -> None:
        """Begins the page, and waits until it is there."""
        self.context = await self.send("Target.createBrowserContext")
        target = await self.send("Target.createTarget", url="about:blank", **self.context)
        attached = await self.send("Target.attachToTarget", **target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.send(f"{domain}.enable")
        await self.send("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def close(self) -> None:
        """Ends the page, and what it has kept."""
        self._session = None
        await self.send("Target.disposeBrowserContext", **self.context)

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

    async def until(self, condition: str, patience: float = 20.0) -> None:
        """Waits until an expression is true, which is looked at whenever the page changes.

        Args:
            condition: The expression.
            patience: Seconds to wait for it.
        """
        async with asyncio.timeout(patience):
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

    async def press(self, *keys: str) -> None:
        """Presses keys one after the other: characters, or those that have a name here."""
        for key in keys:
            named: dict[str, Any] = {"key": key, "code": key}
            text = {} if key in _KEYS else {"text": key}
            if key in _KEYS:
                named["windowsVirtualKeyCode"] = _KEYS[key]
            if key == "Enter":
                text = {"text": "\r"}
            await self.send("Input.dispatchKeyEvent", type="keyDown", **named, **text)
            await self.send("Input.dispatchKeyEvent", type="keyUp", **named)

    async def type(self, text: str) -> None:
        """Types a text where the keyboard is."""
        await self.send("Input.insertText", text=text)

    async def give_file(self, selector: str, path: Path) -> None:
        """Gives a file to an input, as the dialog would.

        Args:
            selector: The input's, in CSS.
            path: The file.
        """
        document = await self.send("DOM.getDocument")
        node = await self.send(
            "DOM.querySelector", nodeId=document["root"]["nodeId"], selector=selector
        )
        await self.send("DOM.setFileInputFiles", files=[str(path)], nodeId=node["nodeId"])

    async def size(self, width: int, height: int) -> None:
        """Makes the window of a size."""
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def allow(self, name: str, setting: str) -> None:
        """Answers what the browser asks before a page may use something.

        Args:
            name: What of, such as ``microphone``.
            setting: ``granted`` or ``denied``.
        """
        await self.send(
            "Browser.setPermission", permission={"name": name}, setting=setting, **self.context
        )

    async def scheme(self, name: str) -> None:
        """Says that somebody prefers ``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        await self.send("Emulation.setEmulatedMedia", features=features)


@contextmanager
def running(profile: Path, *flags: str) -> Iterator[str]:
    """Runs a browser; the address at which it is told what to do.

    Args:
        profile: An empty folder for its files.
        flags: What else it is told at its start.
    """
    assert PROGRAM is not None
    process = subprocess.Popen(
        (PROGRAM, *_FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    assert process.stderr is not None
    try:
        address = ""
        while not address:
            line = process.stderr.readline()
            assert line, "the browser has ended"
            address = line.partition("DevTools listening on ")[2].strip()
        # It goes on to write there, and must not have to wait for a reader.
        drain = threading.Thread(target=process.stderr.read)
        drain.start()
        yield address
    finally:
        process.terminate()
        process.wait()
        # Those it has started hold the other end, and end after it.
        drain.join()
        process.stderr.close()


@asynccontextmanager
async def browsing(url: str, browser: str) -> AsyncIterator[Page]:
    """Opens a page, in a window that shares nothing with others.

    Args:
        url: Its address.
        browser: That of a browser that is running.
    """
    async with websockets.connect(browser, max_size=None, proxy=None) as socket:
        page = Page(socket)
        reader = asyncio.create_task(page.read())
        try:
            await page.open(url)
            yield page
            await page.close()
        finally:
            reader.cancel()
