// The busiest users: what each sends, how much is left in its buckets, and the two ways to stop it.

import { bucketList } from "./buckets.js";
import { button, byId, element, setText, ViewList } from "./elements.js";
import { bytes, integer, rate } from "./format.js";
import { label } from "./pools.js";
import { act } from "./toasts.js";
import { askForBan, closeConnections, endBan } from "./user-actions.js";
import { showUser } from "./user-lookup.js";

/** @typedef {import("./stream-message.d.ts").BusyUser} BusyUser */

/** At first; the others are a click away. */
const SHOWN_USERS = 8;

export class Users {
  #list = byId("users");
  #table = byId("users-table");
  #more = byId("users-more", HTMLButtonElement);
  #rows = new ViewList(
    this.#list,
    ({ user }) => user,
    (/** @type {BusyUser} */ { user }) => userView(user),
  );
  /** @type {readonly string[]} */
  #order = [];
  #isWhole = false;

  constructor() {
    this.#more.addEventListener("click", () => {
      this.#isWhole = true;
      this.#more.hidden = true;
    });
  }

  /**
   * @param {readonly BusyUser[]} busiest
   * @param {number} known
   */
  update(busiest, known) {
    const shown = this.#isWhole ? busiest : busiest.slice(0, SHOWN_USERS);
    // A row must not slip away from under the pointer, nor from under the keyboard.
    const isInUse = this.#table.matches(":hover, :focus-within");
    const users = isInUse ? this.#inOldOrder(busiest, shown.length) : shown;
    this.#order = users.map(({ user }) => user);
    this.#rows.update(users);
    this.#more.hidden = users.length === busiest.length;
    setText(this.#more, `Show all ${integer(busiest.length)}`);
    byId("users-empty").hidden = busiest.length > 0;
    this.#table.hidden = busiest.length === 0;
    setText(
      byId("users-summary"),
      busiest.length === 0 ? "" : `${integer(busiest.length)} of ${integer(known)} users`,
    );
  }

  /**
   * Those that were there, where they were; then others.
   * @param {readonly BusyUser[]} busiest
   * @param {number} most
   */
  #inOldOrder(busiest, most) {
    /** @param {BusyUser} busy */
    const placeOf = ({ user }) => {
      const place = this.#order.indexOf(user);
      return place === -1 ? this.#order.length : place;
    };
    return busiest.toSorted((a, b) => placeOf(a) - placeOf(b)).slice(0, most);
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
  const buckets = bucketList(cells.buckets);
  const close = button("Close", () => void act(close, () => closeConnections(user)));
  const ban = button("Ban…", () => askForBan(user, ban), "danger");
  const unban = button("Unban", () => void act(unban, () => endBan(user)));
  const name = element(
    "th",
    "name",
    button(user, () => void showUser(user), "name-button"),
  );
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
