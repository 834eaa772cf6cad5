"""A real browser for tests: Chromium without a window, by way of its WebDriver."""

import base64
import contextlib
import http.client
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from waiting import DEADLINE_S, eventually

CHROMIUM, DRIVER = "chromium", "chromedriver"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-dev-shm-usage",
)


def missing() -> list[str]:
    """The programs that a browser needs and this machine has not."""
    return [name for name in (CHROMIUM, DRIVER) if not shutil.which(name)]


class Browser:
    """One session of the WebDriver protocol."""

    def __init__(self, port: int) -> None:
        self._port = port
        options = {"binary": shutil.which(CHROMIUM), "args": FLAGS}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        begun = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{begun['sessionId']}"

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_S)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            value = json.loads(connection.getresponse().read())["value"]
        finally:
            connection.close()
        if isinstance(value, dict) and "error" in value:
            raise RuntimeError(f"{value['error']}: {value.get('message')}")
        return value

    def devtools(self, command: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol, which can do what WebDriver cannot."""
        body = {"cmd": command, "params": parameters}
        return self._call("POST", f"{self._session}/goog/cdp/execute", body)

    def open(self, address: str) -> None:
        self._call("POST", f"{self._session}/url", {"url": address})

    def run(self, script: str) -> Any:
        """What the script returns, in the page."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": script, "args": []})

    def wait_for(self, script: str) -> Any:
        """The script's first value that is true."""
        return eventually(lambda: self.run(script), bool)

    def log(self) -> list[str]:
        """What the page's console has said since the last call."""
        lines = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [f"{one['level']}: {one['message']}" for one in lines]

    def resize(self, width_px: int, height_px: int) -> None:
        """The page's own size, to the pixel; a window would not be narrower than 500."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width_px,
            height=height_px,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, scheme: str) -> None:
        """The colour scheme that the person prefers: light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def photograph(self, file: Path) -> None:
        """The whole page, as long as it is."""
        taken = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(taken["data"]))

    def quit(self) -> None:
        self._call("DELETE", self._session)


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser of one's own, which ends with the block."""
    command = [DRIVER, "--port=0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as driver:
        try:
            running = Browser(_port(driver))
            try:
                yield running
            finally:
                running.quit()
        finally:
            driver.terminate()


def _port(driver: subprocess.Popen[str]) -> int:
    assert driver.stdout
    for line in driver.stdout:
        if found := re.search(r"started successfully on port (\d+)", line):
            return int(found[1])
    raise RuntimeError(f"{DRIVER} ended with {driver.wait()}")
