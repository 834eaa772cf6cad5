"use strict";
// Draws the charts in the colours that the page has now, and again when they change.

const page = document.documentElement;
const specs = Object.entries(JSON.parse(document.getElementById("specs").textContent));
const dark = matchMedia("(prefers-color-scheme: dark)");
let drawn = [];

/** What all charts share; the styles are named in the specifications. */
function theme() {
  const style = getComputedStyle(page);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const font = getComputedStyle(document.body).fontFamily;
  const ink = colour("ink"), soft = colour("soft");
  return {
    background: null,
    font,
    view: { stroke: null },
    axis: {
      labelColor: soft, titleColor: soft, gridColor: colour("grid"), domainColor: colour("line"),
      tickColor: colour("line"), labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal",
      labelPadding: 5, titlePadding: 9, labelOverlap: "greedy", labelSeparation: 4, labelFlush: false,
    },
    axisY: { domain: false, ticks: false, tickCount: 5, minExtent: 34 },
    axisX: { tickCount: 6, labelFlush: false },
    legend: {
      orient: "top", labelColor: ink, labelFontSize: 12, offset: 8, columnPadding: 14,
      columns: page.clientWidth < 600 ? 3 : 5, symbolStrokeWidth: 2.5,
    },
    range: { category: [1, 2, 3, 4, 5, 6, 7, 8].map((number) => colour(`c${number}`)) },
    line: { strokeWidth: 2, color: colour("c1"), strokeJoin: "round" },
    area: { color: colour("c1"), fillOpacity: 0.3 },
    bar: { color: colour("c1"), cornerRadiusEnd: 2, height: { band: 0.62 } },
    point: { color: colour("c1"), filled: true, size: 60 },
    style: {
      layer: { fillOpacity: 0.9, stroke: colour("card"), strokeWidth: 0.3 },
      thin: { strokeWidth: 1.25 },
      dot: { size: 55, opacity: 0.8, filled: true },
      probe: { size: 95, opacity: 0.95, filled: true, stroke: colour("card"), strokeWidth: 1 },
      band: { color: colour("band"), fillOpacity: 0.16 },
      allowed: { color: colour("c8"), fillOpacity: 0.28, height: 22 },
      interval: { color: colour("c1"), strokeWidth: 2.5 },
      end: { color: ink, thickness: 2, size: 14 },
      plain: { color: ink, strokeWidth: 1.25 },
      goal: { color: colour("goal"), strokeWidth: 1.5, strokeDash: [7, 4] },
      limit: { color: ink, strokeWidth: 1.5, strokeDash: [2, 3] },
      "plain-name": { color: ink, fontSize: 12 },
      "goal-name": { color: colour("goal"), fontSize: 12 },
      "limit-name": { color: ink, fontSize: 12 },
    },
  };
}

/** Data attributes say how it went: `drawn` charts, and `undrawn` ones, whose place says why. */
async function draw() {
  delete page.dataset.drawn;
  drawn.forEach((one) => one.finalize());
  const options = {
    // Expressions are interpreted: the page's policy allows no eval.
    ast: true, renderer: "svg", actions: false, defaultStyle: false, config: theme(),
    tooltip: { theme: dark.matches ? "dark" : "light" },
  };
  const results = await Promise.allSettled(
    specs.map(([place, spec]) => vegaEmbed(document.getElementById(place), spec, options)),
  );
  drawn = results.filter((one) => one.value).map((one) => one.value);
  const failed = results.map((one, index) => [specs[index][0], one.reason]).filter((one) => one[1]);
  for (const [place, reason] of failed) {
    const message = document.createElement("p");
    message.className = "undrawn";
    message.textContent = `This chart could not be drawn: ${reason}`;
    document.getElementById(place).replaceChildren(message);
  }
  page.dataset.undrawn = failed.length;
  page.dataset.drawn = drawn.length;
}

/** Copy the text of the element that a button names; where that is not allowed, select it. */
async function copy(event) {
  const button = event.currentTarget;
  const text = document.getElementById(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(text);
    button.textContent = "Selected: copy it";
  }
}

document.querySelectorAll("[data-copies]").forEach((one) => one.addEventListener("click", copy));
dark.addEventListener("change", draw);
draw();
