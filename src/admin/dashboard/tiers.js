// Open connections against their caps, in all and per tier, and what waits in which queue.

import { byId, element, setText, ViewList } from "./elements.js";
import { integer } from "./format.js";
import { Meter } from "./meters.js";

/** @typedef {import("./stream-message.d.ts").Status} Status */
/** @typedef {{ name: string, isTotal: boolean, note: string, open: number, limit: number | null }} Row */

export class Tiers {
  #rows = new ViewList(byId("tiers"), ({ name, isTotal }) => `${isTotal} ${name}`, rowView);
  #queues = new ViewList(byId("queues"), ({ queue }) => queue, queueView);

  /** @param {Status} status */
  update({ connections, tiers, queues }) {
    this.#rows.update([
      { name: "all", isTotal: true, note: "", ...connections },
      ...tiers.map(({ name, open, limit, priority, default: isDefault }) => ({
        name,
        isTotal: false,
        note: `${priority} priority${isDefault ? ", default" : ""}`,
        open,
        limit,
      })),
    ]);
    this.#queues.update(queues);
  }
}

/** @param {Row} row */
function rowView({ name, isTotal }) {
  const open = element("strong");
  const limit = element("span", "muted");
  const note = element("span", "muted");
  const meter = new Meter(isTotal ? "all connections" : `connections of the tier ${name}`);
  const title = element("span", "tier-name", isTotal ? "All" : name);
  const head = element(
    "div",
    "tier-head",
    element("span", "", title, note),
    element("span", "", open, limit),
  );
  const node = element("div", isTotal ? "tier total" : "tier", head, meter.node);
  node.dataset["tier"] = isTotal ? "" : name;
  /** @param {Row} row */
  const update = (row) => {
    setText(note, row.note);
    setText(open, integer(row.open));
    setText(limit, row.limit === null ? "no cap" : `of ${integer(row.limit)}`);
    meter.update(row.open, row.limit);
  };
  return { node, update };
}

/** @param {Status["queues"][number]} queue */
function queueView({ queue }) {
  const length = element("strong");
  const name = queue.startsWith("pool:")
    ? `waiting for ${queue.slice("pool:".length)}`
    : "waiting for their turn";
  const node = element("div", "queue", element("span", "muted", name), length);
  /** @param {Status["queues"][number]} now */
  const update = (now) => {
    setText(length, integer(now.length));
    node.classList.toggle("busy", now.length > 0);
  };
  return { node, update };
}
