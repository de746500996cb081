// Preloaded into each thread of a Weir process (`--import`), with WEIR_RESOURCES_OF=THREADS: on SIGUSR2 the process
// prints, as one line of JSON on standard error, what each of its threads holds by its own account.

import { EventEmitter } from "node:events";
import { readdirSync } from "node:fs";
import { Socket } from "node:net";
import v8 from "node:v8";
import { isMainThread, threadId } from "node:worker_threads";
import type { ProcessResources, ThreadResources } from "./process-resources.ts";
import type { Places } from "../../src/control-plane/places.ts";
import type { BucketTable } from "../../src/shared-memory/bucket-table.ts";

/** Threads to wait for, beside the main one. */
const WORKERS = Number(process.env["WEIR_RESOURCES_OF"]);

/** What is above the classes whose objects are counted. */
class Counted extends Object {}

interface Answer {
  readonly answer: ThreadResources;
}

type Message = "question" | Answer;

const emitters = watchEmitters();

const channel = new BroadcastChannel("weir-resources");
channel.unref();

if (isMainThread) await serveMainThread();
else serveWorkerThread();

async function serveMainThread(): Promise<void> {
  const tables = new Set<BucketTable>();
  const { BucketTable: Table } = await import("../../src/shared-memory/bucket-table.ts");
  const sweep = Reflect.get(Table.prototype, "sweep");
  // The only way to get hold of one; of the places, too.
  Table.prototype.sweep = function (this: BucketTable, ...args): void {
    tables.add(this);
    sweep.apply(this, args);
  };
  const { Backend } = await import("../../src/control-plane/backend.ts");
  const places = new Set<Places>();
  const { Places: All } = await import("../../src/control-plane/places.ts");
  const add = Reflect.get(All.prototype, "add");
  All.prototype.add = function (this: Places, ...args): void {
    places.add(this);
    add.apply(this, args);
  };
  let number = 0;
  let threads: ThreadResources[] = [];
  listen(({ answer: told }) => {
    threads.push(told);
    if (threads.length < WORKERS) return;
    threads.push(ofThisThread([Backend]));
    const buckets = [...tables].reduce((sum, { size }) => sum + size, 0);
    const grants = [...places].reduce((sum, { all }) => sum + all.length, 0);
    const files = readdirSync("/proc/self/fd").length;
    number += 1;
    const report: ProcessResources = { number, files, buckets, grants, threads };
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

/** @param classes whose objects are counted: all of them in one, as a look at the heap takes its time */
function ofThisThread(classes: readonly (abstract new (...args: never[]) => object)[]): ThreadResources {
  for (const { prototype } of classes) Object.setPrototypeOf(prototype, Counted.prototype);
  const objects: Record<string, number> = {};
  // Not the prototypes themselves.
  objects["own"] = v8.queryObjects(Counted, { format: "count" }) - classes.length;
  // The garbage is collected by now.
  const living = emitters.living();
  objects["Socket"] = living.filter((one) => one instanceof Socket).length;
  objects["listener of events"] = living.reduce((sum, one) => sum + listenersOf(one), 0);
  const active: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) active[kind] = (active[kind] ?? 0) + 1;
  return { thread: threadId, active, objects };
}

/** Keeps nobody alive. */
function watchEmitters(): { living: () => EventEmitter[] } {
  const known = new WeakSet<EventEmitter>();
  let all: WeakRef<EventEmitter>[] = [];
  const names = ["on", "once", "addListener", "prependListener", "prependOnceListener"] as const;
  for (const name of names) {
    const original = Reflect.get(EventEmitter.prototype, name);
    EventEmitter.prototype[name] = function (this: EventEmitter, ...args) {
      if (!known.has(this)) {
        known.add(this);
        all.push(new WeakRef(this));
      }
      return original.apply(this, args);
    };
  }
  const living = (): EventEmitter[] => {
    all = all.filter((one) => one.deref() !== undefined);
    return all.flatMap((one) => one.deref() ?? []);
  };
  return { living };
}

function listenersOf(emitter: EventEmitter): number {
  return emitter.eventNames().reduce((sum, name) => sum + emitter.listenerCount(name), 0);
}
