// How a Weir comes to serve: on addresses that are free, or beside a running Weir, in whose place it steps.
// Whatever fails does so before that one has ended anything.

import type { Admin } from "./admin/admin.ts";
import type { Config } from "./config/schema.ts";
import { readerOf, type TlsFiles } from "./config/tls-files.ts";
import type { Fleet } from "./control-plane/fleet.ts";
import type { LiveState } from "./control-plane/live-state.ts";
import type { StateFile } from "./control-plane/state-file.ts";
import type { StateRecord } from "./control-plane/state-format.ts";
import type { HeldMessages } from "./control-plane/takeover/held-messages.ts";
import type { Incumbent } from "./control-plane/takeover/incumbent.ts";
import { Predecessor } from "./control-plane/takeover/predecessor.ts";
import { logRequestMigration } from "./control-plane/takeover/request-migration.ts";
import type { Workers } from "./control-plane/workers.ts";
import { ExitCode, FatalError } from "./errors.ts";
import type { Log } from "./log.ts";

/** A new process is to know its backends before it replaces one that does; no longer than this. */
const MAX_FIRST_ROUND_MS = 5_000;
const POLL_INTERVAL_MS = 20;

interface Arriving {
  readonly config: Config;
  readonly takesOver: boolean;
  /** Tells it to end, and to leave a running Weir in its place as long as that can be. */
  readonly ending: AbortSignal;
  /** What its certificates and keys hold. */
  readonly files: TlsFiles;
  readonly log: Log;
  readonly workers: Pick<Workers, "start" | "listen" | "publish">;
  readonly fleet: Pick<Fleet, "configure" | "isFirstRoundOver">;
  readonly admin: Pick<Admin, "listen"> | null;
  readonly incumbent: Pick<Incumbent, "configure" | "prepare" | "assume">;
  readonly heldMessages: HeldMessages;
  readonly stateFile: Pick<StateFile, "load">;
  readonly state: Pick<LiveState, "restore">;
}

interface Arrived {
  readonly listeners: readonly string[];
  readonly admin: string | null;
}

/** Throws FatalError. */
export async function arrive(arriving: Arriving): Promise<Arrived> {
  const { config, files, workers, fleet } = arriving;
  const predecessor = await findPredecessor(arriving);
  try {
    await workers.start(config, files);
    fleet.configure(config, readerOf(files));
    return predecessor === null ? await arriveAlone(arriving) : await arriveBeside(arriving, predecessor);
  } catch (error) {
    predecessor?.leaveAlone();
    throw error;
  }
}

async function findPredecessor({ config, takesOver, log }: Arriving): Promise<Predecessor | null> {
  const { pidFile } = config;
  if (!takesOver) return null;
  if (pidFile === null)
    throw new FatalError("--takeover needs a pidFile in the configuration", ExitCode.usage);
  const found = await Predecessor.find(pidFile);
  if (found.predecessor === null) {
    log.info("nobody to take over from, starting as ever", { pidFile, because: found.reason });
  }
  return found.predecessor;
}

async function arriveAlone(arriving: Arriving): Promise<Arrived> {
  const { config, workers, admin, incumbent } = arriving;
  // Before anyone is admitted, and before an operator can set anything anew.
  restore(arriving, await arriving.stateFile.load());
  const adminAddress = (await admin?.listen()) ?? null;
  const listeners = await workers.listen();
  await incumbent.configure(config.pidFile);
  return { listeners, admin: adminAddress };
}

async function arriveBeside(arriving: Arriving, predecessor: Predecessor): Promise<Arrived> {
  const { config, log, workers, fleet, incumbent, heldMessages } = arriving;
  const { pidFile } = config;
  log.info("taking over from a running Weir", { pid: predecessor.pid });
  await logRequestMigration(log);
  if (pidFile !== null) await incumbent.prepare(pidFile);
  await untilSo(() => arriving.ending.aborted || fleet.isFirstRoundOver, MAX_FIRST_ROUND_MS);
  const mustWait = config.admin !== null && predecessor.administers(config.admin.bind);
  let admin = mustWait ? null : ((await arriving.admin?.listen()) ?? null);
  heldMessages.hold();
  const listeners = await workers.listen((bind) => predecessor.serves(bind));
  assertWanted(arriving, predecessor);
  await predecessor.begin();
  await predecessor.assertWaiting();
  if (mustWait) admin = (await arriving.admin?.listen()) ?? null;
  await inheritState(arriving, predecessor);
  // From here on its paths are this one's, and nobody would give them back.
  await predecessor.assertWaiting();
  assertWanted(arriving, predecessor);
  if (pidFile !== null) await incumbent.assume();
  await workers.publish();
  // Before anyone is admitted: those who wait connect anew where this one is too late.
  await predecessor.dismiss();
  heldMessages.release();
  return { listeners, admin };
}

/** Throws FatalError (exit code 0): to end after the old one has been sent away would leave nobody. */
function assertWanted({ ending }: Arriving, { pid }: Predecessor): void {
  if (!ending.aborted) return;
  throw new FatalError(`told to end before it took over: the Weir with pid ${pid} goes on`, ExitCode.ok);
}

/** What is not handed over, the state file may know: its word is as old as its last minute. */
async function inheritState(arriving: Arriving, predecessor: Predecessor): Promise<void> {
  const { records, lacks } = await predecessor.inherit();
  if (lacks !== null) {
    arriving.log.warn("the state was not handed over whole", { pid: predecessor.pid, because: lacks });
    restore(arriving, await arriving.stateFile.load());
  }
  restore(arriving, records);
}

function restore({ state, log }: Arriving, records: readonly StateRecord[]): void {
  if (records.length > 0) log.info("state restored", { ...state.restore(records) });
}

async function untilSo(isSo: () => boolean, withinMs: number): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!isSo() && performance.now() < endMs) {
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
  }
}
