// The dashboard by day and by night: whatever it writes can be read on what is behind it.
import { describe, expect, test } from "vitest";

import { chromium, shareChromium } from "../support/chromium.ts";
import { openDashboard } from "../support/dashboard.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { isMissing } from "../support/requirement.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { openClient } from "../support/ws-client.ts";

const newPage = shareChromium();

/** WCAG 2.2, 1.4.3: what text and its background differ by at least. */
const LEAST_CONTRAST = 4.5;

/**
 * In the page: the luminance of its background, and each text that differs too little from what is behind it.
 * Canvases are not looked at.
 */
const look = `(() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([red, green, blue]) => {
    const linear = [red, green, blue].map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (element) => {
    for (let one = element; one !== null; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const contrast = (element) => {
    const [a, b] = [rgba(getComputedStyle(element).color), behind(element)].map(luminance);
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const texts = [...document.body.querySelectorAll("*")].filter(
    (element) =>
      element.checkVisibility({ opacityProperty: true, visibilityProperty: true }) &&
      [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim() !== ""),
  );
  return {
    page: luminance(behind(document.body)),
    texts: texts.length,
    pale: texts
      .filter((element) => contrast(element) < ${LEAST_CONTRAST})
      .map((element) => element.tagName + "." + element.className + " " + element.textContent.trim() + " " + contrast(element).toFixed(2)),
  };
})()`;

interface Look {
  readonly page: number;
  readonly texts: number;
  readonly pale: readonly string[];
}

describe.skipIf(isMissing(chromium))("the dashboard", () => {
  test.each([
    ["light", 0.5, 1],
    ["dark", 0, 0.1],
  ] as const)("can be read where the browser asks for %s colours", async (colorScheme, from, to) => {
    const backend = await startEchoBackend({ id: "well" });
    const weir = await startInFrontOf(
      [
        { id: "well", url: backend.url },
        { id: "gone", url: "ws://127.0.0.1:1" },
      ],
      { pool: { healthCheck: { type: "tcp", interval: "100ms" } } },
    );
    const client = await openClient(weir.url);
    await client.ask("hello");
    const dashboard = await openDashboard(await newPage({ colorScheme }), weir.adminUrl);
    await dashboard.untilLive();
    await dashboard.untilText('[data-backend="gone"] .pill', "unhealthy");
    await dashboard.untilText("#verdict-title", "Degraded");
    const { page, texts, pale } = await dashboard.page.evaluate<Look>(look);
    expect(page).toBeGreaterThanOrEqual(from);
    expect(page).toBeLessThanOrEqual(to);
    expect(texts).toBeGreaterThan(50);
    expect(pale).toEqual([]);
    expect(dashboard.problems).toEqual([]);
  });
});
