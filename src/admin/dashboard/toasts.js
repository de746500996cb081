// Short messages on what an action came to. They go by themselves; a failure stays longer.

import { button, byId, element } from "./elements.js";

const SHOWN_MS = 6_000;
const FAILURE_SHOWN_MS = 15_000;
const MOST_AT_ONCE = 4;

/**
 * @param {string} text
 * @param {{ isFailure?: boolean, action?: { label: string, run: () => void } }} [options]
 */
export function toast(text, { isFailure = false, action } = {}) {
  const list = byId("toasts");
  const node = element("div", isFailure ? "toast failure" : "toast", element("span", "", text));
  const close = () => node.remove();
  if (action !== undefined) {
    const run = () => {
      close();
      action.run();
    };
    node.append(button(action.label, run, "quiet"));
  }
  list.append(node);
  while (list.children.length > MOST_AT_ONCE) list.firstElementChild?.remove();
  setTimeout(close, isFailure ? FAILURE_SHOWN_MS : SHOWN_MS);
}

/**
 * Runs what a button stands for, with the button disabled meanwhile, and says so where it fails.
 * @param {HTMLButtonElement} pressed
 * @param {() => Promise<void>} run
 */
export async function act(pressed, run) {
  pressed.disabled = true;
  try {
    await run();
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { isFailure: true });
  } finally {
    pressed.disabled = false;
  }
}
