// A program that uses Weir as a library: starts it with the configuration in its argument, and does what it is
// told over its IPC channel, each with a line when it is done. After `close` it ends by itself, if nothing of
// Weir is left that would keep it.
import process from "node:process";

import { start } from "../../src/weir.ts";
import type { LibraryOrder } from "./spawn-library.ts";

const weir = await start(JSON.parse(process.argv[2] ?? "") as unknown);

const obey = async (order: LibraryOrder): Promise<void> => {
  if (order.kind === "reload") await weir.reload(order.config);
  if (order.kind === "drain") await weir.drain();
  if (order.kind === "close") {
    await weir.close();
    process.disconnect?.();
  }
  process.stdout.write(`done: ${order.number}\n`);
};

process.on("message", (order: LibraryOrder) => void obey(order));
const { listeners, admin } = weir.addresses;
process.stdout.write(`${listeners.map((url) => `listening on ${url}\n`).join("")}admin on ${admin}\n`);
