// One user, looked up by name: tier, backend, ban, buckets and connections, as they are at that moment.

import { request, RequestError } from "./admin-api.js";
import { bucketList } from "./buckets.js";
import { button, byId, element, setText } from "./elements.js";
import { bytes, duration, integer } from "./format.js";
import { act, toast } from "./toasts.js";
import { askForBan, closeConnections, endBan, userPath } from "./user-actions.js";

/** @typedef {import("./stream-message.d.ts").UserView} UserView */
/** @typedef {import("./stream-message.d.ts").ConnectionView} ConnectionView */

const dialog = byId("user-dialog", HTMLDialogElement);

/** The page's field to look for a user with. */
export function enableLookup() {
  const field = byId("user-find", HTMLInputElement);
  byId("user-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void showUser(field.value);
  });
  byId("user-close").addEventListener("click", () => dialog.close());
}

/** @param {string} user */
export async function showUser(user) {
  try {
    fill(await request("GET", userPath(user)));
    if (!dialog.open) dialog.showModal();
  } catch (error) {
    if (dialog.open) dialog.close();
    const isUnknown = error instanceof RequestError && error.status === 404;
    const message = error instanceof Error ? error.message : String(error);
    toast(isUnknown ? `nothing is known of ${user}` : message, { isFailure: true });
  }
}

/** @param {UserView} view */
function fill(view) {
  const { user, connections, buckets } = view;
  setText(byId("user-title"), user);
  const facts = factsOf(view).flatMap(([name, value]) => [
    element("dt", "muted", name),
    element("dd", "", value),
  ]);
  byId("user-facts").replaceChildren(...facts);
  const list = byId("user-buckets");
  list.replaceChildren();
  bucketList(list).update(buckets);
  byId("user-connections").replaceChildren(...connections.map((connection) => lineOf(connection)));
  byId("user-actions").replaceChildren(...actionsOf(view));
}

/**
 * @param {UserView} view
 * @returns {[string, string][]}
 */
function factsOf({ tier, backend, ban, connections }) {
  const until = ban === null ? "" : new Date(ban.until).toLocaleString();
  return [
    ["Tier", tier ?? "–"],
    ["Backend", backend ?? "–"],
    ["Connections", integer(connections.length)],
    ...(ban === null
      ? []
      : [/** @type {[string, string]} */ (["Banned until", [until, ban.reason].filter(Boolean).join(", ")])]),
  ];
}

function leave() {
  dialog.close();
}

/** Each is the last one: afterwards there may be nothing left to show.
 * @param {UserView} view */
function actionsOf({ user, ban, connections }) {
  const close = button("Close all", () => void act(close, () => closeConnections(user).then(leave)));
  close.disabled = connections.length === 0;
  const unban = button("Unban", () => void act(unban, () => endBan(user).then(leave)));
  const askBan = button("Ban…", () => askForBan(user, askBan, leave), "danger");
  return [close, ban === null ? askBan : unban];
}

/** @param {ConnectionView} connection */
function lineOf({ id, backend, pool, route, address, openedAt, messages, bytes: sent }) {
  const seconds = (Date.now() - Date.parse(openedAt)) / 1000;
  const where = element("strong", "", `${pool}/${backend}`);
  const from = `${route} from ${address}, ${duration(seconds)}`;
  const passed = [
    `${integer(messages.clientToBackend)} messages in`,
    `${integer(messages.backendToClient)} out`,
    bytes(sent.clientToBackend + sent.backendToClient),
  ].join(", ");
  const text = element("div", "", where, element("div", "muted", from), element("div", "muted", passed));
  const close = button("Close", () => void act(close, () => closeOne(id).then(() => node.remove())));
  const node = element("li", "", text, close);
  return node;
}

/** @param {string} id of the connection */
async function closeOne(id) {
  await request("DELETE", `api/connections/${encodeURIComponent(id)}`);
}
