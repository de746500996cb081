// A backend as the data plane dials it, for tests of what dials and forwards without a whole Weir around it.
import { parseConfig } from "../../src/config/load.ts";
import type { DialTarget } from "../../src/data-plane/dial-target.ts";
import { DialTargets } from "../../src/data-plane/dial-targets.ts";
import { onCleanup } from "./cleanup.ts";

type Section = Readonly<Record<string, unknown>>;

/** The one backend of a pool; it keeps nothing open beyond the test. */
export function targetOf(backend: Section, pool: Section = {}): DialTarget {
  const result = parseConfig({
    listeners: ["127.0.0.1:0"],
    pools: { chat: { ...pool, backends: [{ id: "b", ...backend }] } },
  });
  if (!result.ok) throw new Error(result.errors.map(({ message }) => message).join("; "));
  const targets = new DialTargets();
  targets.configure(result.config.pools);
  onCleanup("the dial target", () => targets.startDraining());
  const target = targets.find("chat", "b");
  if (target === undefined) throw new Error("no such target");
  return target;
}
