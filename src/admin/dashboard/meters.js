// Bars that show how much of a cap is used.

import { element, setData } from "./elements.js";

const NEARLY_FULL = 0.8;
const FULL = 0.95;

export class Meter {
  #fill = element("span");
  node = element("div", "meter", this.#fill);

  /** @param {string} label */
  constructor(label) {
    this.node.role = "meter";
    this.node.ariaLabel = label;
    this.node.ariaValueMin = "0";
  }

  /**
   * @param {number} value
   * @param {number | null} limit null where there is none
   * @param {{ isGoodFull?: boolean }} [options] a bucket is well when it is full
   */
  update(value, limit, { isGoodFull = false } = {}) {
    const share = limit === null || limit === 0 ? 0 : Math.min(1, Math.max(0, value / limit));
    const used = isGoodFull ? 1 - share : share;
    this.#fill.style.width = `${(share * 100).toFixed(1)}%`;
    this.node.ariaValueNow = String(value);
    this.node.ariaValueMax = limit === null ? null : String(limit);
    setData(this.node, "level", used >= FULL ? "full" : used >= NEARLY_FULL ? "high" : "low");
    setData(this.node, "capped", String(limit !== null));
  }
}
