// Weir in a program that uses it as a library, as a process of its own: library-process.ts.
import { spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

import { onCleanup } from "./cleanup.ts";
import { SpawnedWeir } from "./spawn-weir.ts";

const program = fileURLToPath(new URL("library-process.ts", import.meta.url));

type LibraryCall =
  | { readonly kind: "reload"; readonly config: unknown }
  | { readonly kind: "drain" | "close" };

export type LibraryOrder = LibraryCall & { readonly number: number };

export interface SpawnedLibrary {
  readonly weir: SpawnedWeir;
  /** Resolves when the call has. */
  readonly call: (call: LibraryCall) => Promise<void>;
}

/** Resolves when its first listener accepts. */
export async function spawnLibrary(
  config: unknown,
  env: Readonly<Record<string, string>> = {},
): Promise<SpawnedLibrary> {
  const child = spawn(process.execPath, [program, JSON.stringify(config)], {
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: { ...process.env, ...env },
  });
  const weir = new SpawnedWeir(child);
  onCleanup(`the program with pid ${child.pid}`, async () => {
    if (!weir.hasExited) child.kill("SIGKILL");
    await weir.exited();
  });
  let calls = 0;
  const call = async (order: LibraryCall): Promise<void> => {
    calls += 1;
    child.send({ ...order, number: calls } satisfies LibraryOrder);
    await weir.untilPrinted(new RegExp(`^done: ${calls}$`, "m"));
  };
  await weir.untilListening(1);
  return { weir, call };
}
