// The health verdict with its reasons, and the facts in the page's head.

import { byId, element, setData, setText, ViewList } from "./elements.js";
import { duration, integer } from "./format.js";

/** @typedef {import("./stream-message.d.ts").Status} Status */
/** @typedef {import("./stream-message.d.ts").HealthState} HealthState */

const TITLES = { ok: "Healthy", degraded: "Degraded", unhealthy: "Unhealthy" };

/** @typedef {{ name: string, value: string, isBad: boolean }} Fact */

export class Verdict {
  #card = byId("verdict");
  #title = byId("verdict-title");
  #since = byId("verdict-since");
  #reasons = new ViewList(byId("verdict-reasons"), ({ code, message }) => `${code} ${message}`, reasonView);
  #facts = new ViewList(byId("facts"), ({ name }) => name, factView);

  /** @param {Status} status */
  update(status) {
    const { health, draining } = status;
    const seconds = (Date.parse(status.time) - Date.parse(health.since)) / 1000;
    setData(this.#card, "verdict", draining ? "draining" : health.verdict);
    const title = TITLES[health.verdict];
    setText(this.#title, draining ? `${title}, shutting down` : title);
    document.title = health.verdict === "ok" ? "Weir" : `${title} – Weir`;
    setText(this.#since, `for ${duration(seconds)}`);
    this.#reasons.update(health.reasons);
    byId("verdict-fine").hidden = health.reasons.length > 0;
    setText(byId("version"), status.version);
    this.#facts.update(factsOf(status));
  }
}

/**
 * @param {Status} status
 * @returns {Fact[]}
 */
function factsOf({ time, uptimeSeconds, threads, users, config, ready, draining, upgrades }) {
  const { successful, at } = config.lastReload;
  const reloadedFor = duration((Date.parse(time) - Date.parse(at)) / 1000);
  const restarts = threads.restarts === 0 ? "" : ` (${integer(threads.restarts)} restarted)`;
  const banned = users.banned === 0 ? "" : ` (${integer(users.banned)} banned)`;
  return [
    { name: "up", value: duration(uptimeSeconds), isBad: false },
    { name: "users", value: integer(users.known) + banned, isBad: false },
    {
      name: "upgrades",
      value: `${integer(upgrades.accepted)} (${integer(upgrades.refused)} refused)`,
      isBad: false,
    },
    { name: "threads", value: integer(threads.count) + restarts, isBad: threads.restarts > 0 },
    successful
      ? { name: "configuration read", value: `${reloadedFor} ago`, isBad: false }
      : { name: "last reload", value: "failed", isBad: true },
    ...(ready || draining ? [] : [{ name: "", value: "not ready", isBad: true }]),
  ];
}

function factView() {
  const value = element("strong");
  const name = document.createTextNode("");
  const node = element("li", "", name, value);
  /** @param {Fact} fact */
  const update = (fact) => {
    setText(name, fact.name === "" ? "" : `${fact.name} `);
    setText(value, fact.value);
    setData(value, "fact", fact.name);
    node.classList.toggle("bad", fact.isBad);
  };
  return { node, update };
}

function reasonView() {
  const node = element("li");
  /** @param {HealthState["reasons"][number]} reason */
  const update = ({ code, message }) => {
    setData(node, "code", code);
    setText(node, message);
  };
  return { node, update };
}
