// The page: one stream of figures, and the parts that show them.

import { keepToken } from "./admin-api.js";
import { Charts } from "./charts.js";
import { byId, setData, setText } from "./elements.js";
import { Log } from "./log.js";
import { Pools } from "./pools.js";
import { Stream } from "./stream.js";
import { Tiers } from "./tiers.js";
import { toast } from "./toasts.js";
import { enableLookup } from "./user-lookup.js";
import { Users } from "./users.js";
import { Verdict } from "./verdict.js";

/** @typedef {import("./stream-message.d.ts").StreamMessage} StreamMessage */
/** @typedef {import("./stream-message.d.ts").Status} Status */
/** @typedef {import("./stream-message.d.ts").BusyUser} BusyUser */
/** @typedef {import("./stream.js").LinkState} LinkState */

const LINK_TEXTS = { live: "Live", connecting: "Connecting", token: "Locked" };

const page = byId("page");
const retry = byId("retry", HTMLButtonElement);
const tokenDialog = byId("token-dialog", HTMLDialogElement);
const verdict = new Verdict();
const charts = new Charts(byId("charts"));
const tiers = new Tiers();
const pools = new Pools();
const users = new Users();
const log = new Log((message) => toast(message, { isFailure: true }));
const stream = new Stream(onMessage, onState);
/** @type {LinkState} */
let link = { kind: "connecting" };

/** @param {StreamMessage} message */
function onMessage(message) {
  if (message.type === "logs") log.add(message.entries);
  else show(message.status, message.busiest);
}

/**
 * @param {Status} status
 * @param {readonly BusyUser[]} busiest
 */
function show(status, busiest) {
  // Also while the page is hidden: the charts miss nothing.
  charts.add(status);
  if (document.hidden) return;
  verdict.update(status);
  tiers.update(status);
  pools.update(status.pools);
  users.update(busiest, status.users.known);
}

/** @param {LinkState} state */
function onState(state) {
  const wasLive = link.kind === "live";
  link = state;
  if (state.kind === "live" && wasLive) return;
  if (state.kind === "live") log.restart();
  if (state.kind === "token") askForToken(state.isWrong);
  setData(byId("link-state"), "state", state.kind);
  retry.hidden = state.kind !== "lost";
  if (state.kind === "live") setData(page, "state", "live");
  else if (page.dataset["state"] === "live") setData(page, "state", "stale");
  showLink();
}

function showLink() {
  setText(byId("link-text"), link.kind === "lost" ? `Disconnected: ${link.why}` : LINK_TEXTS[link.kind]);
  showCountdown();
}

/** Once a second; apart from the text, which is read out when it changes. */
function showCountdown() {
  const left = link.kind === "lost" ? Math.max(0, Math.ceil((link.retryAtMs - Date.now()) / 1000)) : null;
  setText(byId("link-countdown"), left === null ? "" : `again in ${left} s`);
}

/** @param {boolean} isWrong */
function askForToken(isWrong) {
  setText(byId("token-error"), isWrong ? "That is not the token." : "");
  byId("token", HTMLInputElement).value = "";
  if (!tokenDialog.open) tokenDialog.showModal();
}

// Without a token there is nothing to see: Escape does not close it.
tokenDialog.addEventListener("cancel", (event) => event.preventDefault());
byId("token-form").addEventListener("submit", () => {
  keepToken(byId("token", HTMLInputElement).value);
  void stream.connect();
});
byId("ban-cancel").addEventListener("click", () => byId("ban-dialog", HTMLDialogElement).close("cancel"));
retry.addEventListener("click", () => void stream.connect());
window.addEventListener("online", () => void stream.connect());
enableLookup();
setInterval(showCountdown, 1_000);
void stream.connect();
