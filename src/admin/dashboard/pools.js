// The pools: how each backend stands, how full it is, and buttons to drain and activate it.

import { request } from "./admin-api.js";
import { stateOf } from "./backend-state.js";
import { button, byId, element, setData, setText, ViewList } from "./elements.js";
import { integer, milliseconds } from "./format.js";
import { Meter } from "./meters.js";
import { act, toast } from "./toasts.js";

/** @typedef {import("./stream-message.d.ts").PoolView} PoolView */
/** @typedef {import("./stream-message.d.ts").BackendView} BackendView */

/** Of one pool; those that are not well come first, and the rest is a click away. */
const SHOWN_BACKENDS = 50;

export class Pools {
  #pools = new ViewList(byId("pools"), ({ name }) => name, poolView);

  /** @param {readonly PoolView[]} pools */
  update(pools) {
    const backends = pools.flatMap((pool) => pool.backends);
    const serving = backends.filter((backend) => stateOf(backend).isServing).length;
    setText(
      byId("pools-summary"),
      `${integer(serving)} of ${integer(backends.length)} backends take new connections`,
    );
    this.#pools.update(pools);
  }
}

/** @param {PoolView} pool */
function poolView({ name }) {
  const facts = element("span", "muted");
  const body = element("tbody");
  const labels = ["Backend", "State", "Connections", "Round trip", "Failures"];
  const heads = labels.map((label) => {
    const head = element("th", label === "Round trip" || label === "Failures" ? "number" : "", label);
    head.scope = "col";
    return head;
  });
  const actions = element("th", "", element("span", "hidden", "Actions"));
  const table = element(
    "table",
    "rows backends",
    element("thead", "", element("tr", "", ...heads, actions)),
    body,
  );
  const node = element("section", "pool", element("div", "pool-head", element("h3", "", name), facts), table);
  node.dataset["pool"] = name;
  const rows = new ViewList(
    body,
    ({ id }) => id,
    (/** @type {BackendView} */ { id }) => backendView(name, id),
  );
  let isWhole = false;
  const more = button(
    "",
    () => {
      isWhole = true;
      more.hidden = true;
    },
    "quiet more",
  );
  node.append(more);
  /** @param {PoolView} pool */
  const update = (pool) => {
    const { backends } = pool;
    setText(facts, factsOf(pool));
    const shown = isWhole ? backends : worstFirst(backends).slice(0, SHOWN_BACKENDS);
    more.hidden = shown.length === backends.length;
    setText(more, `Show all ${integer(backends.length)} backends`);
    rows.update(shown);
  };
  return { node, update };
}

/** @param {PoolView} pool */
function factsOf({ balance, affinity, waiting }) {
  const kept =
    affinity.by === "none"
      ? "no affinity"
      : `affinity by ${affinity.by} (${integer(affinity.entries)} known)`;
  return [balance, kept, ...(waiting > 0 ? [`${integer(waiting)} waiting`] : [])].join(" · ");
}

/** In their order where all are shown.
 * @param {readonly BackendView[]} backends */
function worstFirst(backends) {
  if (backends.length <= SHOWN_BACKENDS) return backends;
  return backends.toSorted((a, b) => Number(stateOf(a).isServing) - Number(stateOf(b).isServing));
}

/**
 * @param {string} pool
 * @param {string} id
 */
function backendView(pool, id) {
  const parts = {
    url: element("small", "muted"),
    state: element("span", "pill"),
    open: element("strong"),
    capacity: element("span", "muted"),
    meter: new Meter(`connections of ${id}`),
    roundTrip: element("td", "number"),
    failures: element("td", "number"),
  };
  const drain = button("Drain", () => void act(drain, () => setState(pool, id, "draining")));
  const activate = button("Activate", () => void act(activate, () => setState(pool, id, "active")));
  const connections = element(
    "td",
    "load",
    element("span", "", parts.open, parts.capacity),
    parts.meter.node,
  );
  const name = element("th", "", element("span", "name", id), parts.url);
  name.scope = "row";
  const { roundTrip, failures } = parts;
  const node = element(
    "tr",
    "",
    name,
    element("td", "", parts.state),
    connections,
    roundTrip,
    failures,
    element("td", "actions", drain, activate),
  );
  label(node, ["", "State", "Connections", "Round trip", "Failures", ""]);
  node.dataset["backend"] = id;
  /** @param {BackendView} backend */
  const update = (backend) => {
    const { text, level } = stateOf(backend);
    const failed = Object.values(backend.failures).reduce((sum, count) => sum + count, 0);
    setText(parts.url, backend.url);
    setText(parts.state, text);
    setData(parts.state, "level", level);
    setText(parts.open, integer(backend.connections));
    setText(parts.capacity, backend.capacity === null ? "" : ` of ${integer(backend.capacity)}`);
    parts.meter.update(backend.connections, backend.capacity);
    setText(roundTrip, backend.roundTripMs === null ? "–" : milliseconds(backend.roundTripMs));
    setText(failures, integer(failed));
    failures.title = Object.entries(backend.failures)
      .map(([kind, count]) => `${kind}: ${integer(count)}`)
      .join("\n");
    drain.hidden = backend.state !== "active";
    activate.hidden = backend.state === "active";
  };
  return { node, update };
}

/** For narrow screens, where a row is no row any more.
 * @param {HTMLTableRowElement} row
 * @param {readonly string[]} names */
export function label(row, names) {
  for (const [index, cell] of [...row.cells].entries()) cell.dataset["label"] = names[index] ?? "";
}

/**
 * @param {string} pool
 * @param {string} id
 * @param {"active" | "draining"} state
 */
async function setState(pool, id, state) {
  await request("PUT", `api/pools/${encodeURIComponent(pool)}/backends/${encodeURIComponent(id)}`, { state });
  if (state === "active") toast(`${id} takes new connections again`);
  else toast(`${id} gets no new connections; those it has are closed as onRemove says`);
}
