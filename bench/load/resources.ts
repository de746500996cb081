// Preloaded into each thread of a Weir process (`--import`), with WEIR_RESOURCES_OF=THREADS: on SIGUSR2 the process prints, as one line of JSON on
// standard error, what each of its threads holds by its own account.

import { readdirSync } from "node:fs";
import v8 from "node:v8";
import { isMainThread, threadId } from "node:worker_threads";
import type { ProcessResources, ThreadResources } from "./process-resources.ts";
import type { BucketTable } from "../../src/shared-memory/bucket-table.ts";

/** Threads to wait for, beside the main one. */
const WORKERS = Number(process.env["WEIR_RESOURCES_OF"]);

interface Answer {
  readonly answer: ThreadResources;
}

type Message = "question" | Answer;

const channel = new BroadcastChannel("weir-resources");
channel.unref();

if (isMainThread) await serveMainThread();
else serveWorkerThread();

async function serveMainThread(): Promise<void> {
  const tables = new Set<BucketTable>();
  const { BucketTable: Table } = await import("../../src/shared-memory/bucket-table.ts");
  const sweep = Reflect.get(Table.prototype, "sweep");
  // The only way to get hold of one.
  Table.prototype.sweep = function (this: BucketTable, ...args): void {
    tables.add(this);
    sweep.apply(this, args);
  };
  let number = 0;
  let threads: ThreadResources[] = [];
  listen(({ answer: told }) => {
    threads.push(told);
    if (threads.length < WORKERS) return;
    threads.push(ofThisThread([]));
    const buckets = [...tables].reduce((sum, { size }) => sum + size, 0);
    const files = readdirSync("/proc/self/fd").length;
    number += 1;
    const report: ProcessResources = { number, files, buckets, threads };
    process.stderr.write(`${JSON.stringify(report)}\n`);
    threads = [];
  });
  process.on("SIGUSR2", () => channel.postMessage("question" satisfies Message));
}

function serveWorkerThread(): void {
  listen(
    () => {},
    () => void answer(),
  );
}

function listen(onAnswer: (message: Answer) => void, onQuestion: () => void = () => {}): void {
  channel.addEventListener("message", (event) => {
    const data = event.data as Message;
    if (data === "question") onQuestion();
    else onAnswer(data);
  });
  // Setting a listener takes the channel back.
  channel.unref();
}

async function answer(): Promise<void> {
  const [{ Connection }, { Pipe }, { PendingClient }] = await Promise.all([
    import("../../src/data-plane/connection.ts"),
    import("../../src/data-plane/pipe.ts"),
    import("../../src/data-plane/pending-client.ts"),
  ]);
  const message: Message = { answer: ofThisThread([Connection, Pipe, PendingClient]) };
  channel.postMessage(message);
}

function ofThisThread(classes: readonly (abstract new (...args: never[]) => unknown)[]): ThreadResources {
  const objects: Record<string, number> = {};
  for (const one of classes) objects[one.name] = v8.queryObjects(one, { format: "count" });
  const active: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) active[kind] = (active[kind] ?? 0) + 1;
  return { thread: threadId, active, objects };
}
