// A user's buckets as bars: what is left in each.

import { element, setText, ViewList } from "./elements.js";
import { bytes, rate } from "./format.js";
import { Meter } from "./meters.js";

/** @typedef {import("./stream-message.d.ts").Bucket} Bucket */

/**
 * @param {HTMLElement} container
 * @returns {ViewList<Bucket>}
 */
export function bucketList(container) {
  return new ViewList(container, nameOf, bucketView);
}

/** @param {Bucket} bucket */
function nameOf({ of, tier, route }) {
  return [of, tier ?? route].filter((part) => part !== undefined).join(" ");
}

/** @param {Bucket} bucket */
function bucketView(bucket) {
  const name = nameOf(bucket);
  const left = element("span", "muted");
  const meter = new Meter(`tokens left, ${name}`);
  const node = element("div", "bucket", element("span", "bucket-name", name), meter.node, left);
  /** @param {Bucket} now */
  const update = ({ of, tokens, burst, ratePerSecond }) => {
    const text = of === "bytes" ? bytes : rate;
    meter.update(tokens, burst, { isGoodFull: true });
    setText(left, `${text(Math.max(0, tokens))} of ${text(burst)}`);
    node.title = `${name}: ${text(ratePerSecond)} a second`;
  };
  return { node, update };
}
