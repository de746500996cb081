// What the pill of a backend says. `weir top` says the same, by its own code for terminals.

/** @typedef {import("./stream-message.d.ts").BackendView} BackendView */

/**
 * The operator's state and the observed one, where both keep work from it.
 * @param {Pick<BackendView, "listed" | "state" | "up" | "ejected">} backend
 * @returns {{ text: string, level: "ok" | "warn" | "bad", isServing: boolean }}
 */
export function stateOf({ listed, state, up, ejected }) {
  const decided = listed ? state : "removed";
  const observed = up ? (ejected ? "ejected" : null) : "unhealthy";
  if (observed === null) {
    const isServing = decided === "active";
    return { text: decided, level: isServing ? "ok" : "warn", isServing };
  }
  const text = decided === "active" ? observed : `${decided}, ${observed}`;
  return { text, level: "bad", isServing: false };
}
