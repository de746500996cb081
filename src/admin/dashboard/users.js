// The busiest users: what each sends, how much is left in its buckets, and the two ways to stop it.

import { request } from "./admin-api.js";
import { button, byId, element, setText, ViewList } from "./elements.js";
import { bytes, integer, rate } from "./format.js";
import { Meter } from "./meters.js";
import { label } from "./pools.js";
import { act, toast } from "./toasts.js";

/** @typedef {import("./stream-message.d.ts").BusyUser} BusyUser */
/** @typedef {import("./stream-message.d.ts").Bucket} Bucket */

export class Users {
  #rows = new ViewList(
    byId("users"),
    ({ user }) => user,
    (/** @type {BusyUser} */ { user }) => userView(user),
  );

  /**
   * @param {readonly BusyUser[]} busiest
   * @param {number} known
   */
  update(busiest, known) {
    this.#rows.update(busiest);
    byId("users-empty").hidden = busiest.length > 0;
    byId("users").parentElement?.toggleAttribute("hidden", busiest.length === 0);
    setText(
      byId("users-summary"),
      busiest.length === 0 ? "" : `${integer(busiest.length)} of ${integer(known)} users`,
    );
  }
}

/** @param {string} user */
function userView(user) {
  const cells = {
    tier: element("td"),
    connections: element("td", "number"),
    messages: element("td", "number"),
    bytes: element("td", "number"),
    limited: element("td", "number"),
    buckets: element("td", "buckets"),
  };
  const buckets = new ViewList(cells.buckets, bucketName, bucketView);
  const close = button("Close", () => void act(close, () => closeConnections(user)));
  const ban = button("Ban…", () => askForBan(user, ban), "danger");
  const unban = button("Unban", () => void act(unban, () => endBan(user)));
  const name = element("th", "name", user);
  name.scope = "row";
  const { tier, connections, messages, limited } = cells;
  const actions = element("td", "actions", close, ban, unban);
  const node = element(
    "tr",
    "",
    name,
    tier,
    connections,
    messages,
    cells.bytes,
    limited,
    cells.buckets,
    actions,
  );
  label(node, ["", "Tier", "Connections", "Messages/s", "Bytes/s", "Limited/s", "Buckets", ""]);
  node.dataset["user"] = user;
  /** @param {BusyUser} busy */
  const update = (busy) => {
    setText(tier, busy.tier);
    setText(connections, integer(busy.connections));
    setText(messages, rate(busy.messagesPerSecond));
    setText(cells.bytes, bytes(busy.bytesPerSecond));
    setText(limited, rate(busy.limitedPerSecond));
    limited.classList.toggle("warn", busy.limitedPerSecond > 0);
    buckets.update(busy.buckets);
    ban.hidden = busy.banned;
    unban.hidden = !busy.banned;
  };
  return { node, update };
}

/** @param {Bucket} bucket */
function bucketName({ of, route }) {
  return of === "route" ? `route ${route ?? ""}` : of;
}

/** @param {Bucket} bucket */
function bucketView(bucket) {
  const name = bucketName(bucket);
  const left = element("span", "muted");
  const meter = new Meter(`tokens left, ${name}`);
  const node = element("div", "bucket", element("span", "bucket-name", name), meter.node, left);
  /** @param {Bucket} now */
  const update = ({ of, tokens, burst, ratePerSecond }) => {
    const text = of === "bytes" ? bytes : rate;
    meter.update(tokens, burst, { isGoodFull: true });
    setText(left, `${text(Math.max(0, tokens))} of ${text(burst)}`);
    node.title = `${name}: ${text(ratePerSecond)}/s`;
  };
  return { node, update };
}

/** @param {string} user */
function path(user) {
  return `api/users/${encodeURIComponent(user)}`;
}

/** @param {string} user */
async function closeConnections(user) {
  await request("DELETE", `${path(user)}/connections`);
  toast(`the connections of ${user} are closed`);
}

/** @param {string} user */
async function endBan(user) {
  await request("DELETE", `${path(user)}/ban`);
  toast(`${user} is not banned any more`);
}

/**
 * @param {string} user
 * @param {HTMLButtonElement} pressed
 */
function askForBan(user, pressed) {
  const dialog = byId("ban-dialog", HTMLDialogElement);
  const reason = byId("ban-reason", HTMLInputElement);
  setText(byId("ban-user"), user);
  reason.value = "";
  dialog.returnValue = "cancel";
  const onClose = () => {
    if (dialog.returnValue !== "ban") return;
    const settings = { duration: byId("ban-duration", HTMLSelectElement).value, reason: reason.value };
    void act(pressed, async () => {
      await request("PUT", `${path(user)}/ban`, settings);
      toast(`${user} is banned`, {
        action: { label: "Undo", run: () => void act(pressed, () => endBan(user)) },
      });
    });
  };
  dialog.addEventListener("close", onClose, { once: true });
  dialog.showModal();
}
