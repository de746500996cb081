// What can be done to a user: its connections closed, a ban, and the end of the ban.

import { request } from "./admin-api.js";
import { byId, setText } from "./elements.js";
import { integer } from "./format.js";
import { act, toast } from "./toasts.js";

/** @param {string} user */
export function userPath(user) {
  return `api/users/${encodeURIComponent(user)}`;
}

/** @param {string} user */
export async function closeConnections(user) {
  const { closed } = await request("DELETE", `${userPath(user)}/connections`);
  toast(`${integer(closed)} connections of ${user} closed`);
}

/** @param {string} user */
export async function endBan(user) {
  await request("DELETE", `${userPath(user)}/ban`);
  toast(`${user} is not banned any more`);
}

/**
 * Asks how long and why.
 * @param {string} user
 * @param {HTMLButtonElement} pressed
 * @param {() => void} [onBan]
 */
export function askForBan(user, pressed, onBan) {
  const dialog = byId("ban-dialog", HTMLDialogElement);
  const reason = byId("ban-reason", HTMLInputElement);
  setText(byId("ban-user"), user);
  reason.value = "";
  dialog.returnValue = "cancel";
  const onClose = () => {
    if (dialog.returnValue !== "ban") return;
    const settings = {
      for: byId("ban-duration", HTMLSelectElement).value,
      reason: reason.value === "" ? null : reason.value,
    };
    void act(pressed, async () => {
      await request("PUT", `${userPath(user)}/ban`, settings);
      const undo = { label: "Undo", run: () => void act(pressed, () => endBan(user)) };
      toast(`${user} is banned`, { action: undo });
      onBan?.();
    });
  };
  dialog.addEventListener("close", onClose, { once: true });
  dialog.showModal();
}
