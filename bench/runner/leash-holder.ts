// The other end of `leash.ts`: `leash-holder.ts DIRECTORY`.

import { rmSync } from "node:fs";
import type { LeashOrder } from "./leash.ts";
import { killGroup } from "./process-group.ts";

const held = new Set<number>();

process.on("message", (order: LeashOrder) => {
  if ("hold" in order) held.add(order.hold);
  else held.delete(order.release);
});

process.on("disconnect", () => {
  for (const pid of held) killGroup(pid);
  const [directory] = process.argv.slice(2);
  if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
  process.exit(0);
});
