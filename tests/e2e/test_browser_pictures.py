"""What a real browser shows of odd pictures is what the tests of the decoder take for right."""

import base64

import numpy as np
from browser import Browser
from odd_pictures import NEAR, odd_pictures

# On a white page, the colours in the middle of the four quarters.
SHOWN = """
window.shown = null;
(async () => {
  const image = new Image();
  image.src = "data:image/png;base64,%s";
  await image.decode();
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  const canvas = new OffscreenCanvas(width, height);
  const pen = canvas.getContext("2d");
  pen.fillStyle = "white";
  pen.fillRect(0, 0, width, height);
  pen.drawImage(image, 0, 0);
  const at = (x, y) => [...pen.getImageData(width * x, height * y, 1, 1).data].slice(0, 3);
  window.shown = [at(.25, .25), at(.75, .25), at(.25, .75), at(.75, .75)];
})().catch((error) => { window.shown = String(error); });
"""


def test_a_browser_shows_what_the_tests_expect(chromium: Browser) -> None:
    """Every picture of the table, whatever its name: browsers look at the content."""
    chromium.open("about:blank")
    wrong = {}
    for odd in odd_pictures():
        chromium.run(SHOWN % base64.b64encode(odd.data).decode())
        shown = chromium.wait_for("return window.shown")
        if isinstance(shown, str) or np.abs(np.array(shown) - odd.corners).max() > NEAR:
            wrong[odd.name] = shown
    assert wrong == {}
