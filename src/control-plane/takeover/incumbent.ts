// This process as the Weir of its `pidFile`: owns the file and the socket beside it, over which a newer
// process can take its place. Everything is undone where that one goes before it has.

import net from "node:net";
import { ExitCode, FatalError } from "../../errors.ts";
import type { Log } from "../../log.ts";
import { isServed, listenAtPath, type UnixSocket } from "../../unix-socket.ts";
import { type StateRecord, stateLines } from "../state-format.ts";
import {
  Conversation,
  type Facts,
  helloSchema,
  MAX_SOCKET_PATH_BYTES,
  parseLine,
  PROTOCOL_VERSION,
  socketPathOf,
} from "./conversation.ts";
import { PidFile, readPid } from "./pid-file.ts";

const HELLO_TIMEOUT_MS = 2_000;

interface Patience {
  /** For its threads, its first round of health checks and its listeners; nothing is given up meanwhile. */
  readonly beginMs: number;
  /** For the state, and to come to serve: a newer process waits 2 s for the state itself. */
  readonly handOverMs: number;
}

const PATIENCE: Patience = { beginMs: 30_000, handOverMs: 5_000 };

const TAKE_BACK_INTERVAL_MS = 100;
/** The system may still be clearing up behind the other one; after that, somebody else is to blame. */
const UNTOLD_TRIES = 50;

/** Who may take over may see the users' names: the owner only. */
const SOCKET_MODE = 0o600;

interface IncumbentOptions {
  readonly log: Log;
  readonly facts: () => Omit<Facts, "pid">;
  readonly records: () => Iterable<StateRecord>;
  /** Frees what only one process can have, for a newer one. */
  readonly giveUp: () => Promise<void>;
  /** Takes it again: the newer one has failed. */
  readonly takeBack: () => Promise<void>;
  /** The newer one serves. */
  readonly onReplaced: () => void;
  /** How long a newer one may take. */
  readonly patience?: Patience;
}

export class Incumbent {
  readonly #options: IncumbentOptions;
  readonly #patience: Patience;
  /** Each with its end. */
  readonly #conversations = new Map<Conversation, Promise<void>>();
  /** The one whose Weir this process is. */
  #pidFile: PidFile | null = null;
  #prepared: PidFile | null = null;
  #server: net.Server | null = null;
  #socket: UnixSocket | null = null;
  #isBeingReplaced = false;

  constructor(options: IncumbentOptions) {
    this.#options = options;
    this.#patience = options.patience ?? PATIENCE;
  }

  /**
   * Becomes the Weir of this file, and of none where it is null. Throws FatalError: exit code 71 where another
   * running Weir is that already, 1 where the file cannot be written.
   */
  async configure(path: string | null): Promise<void> {
    if (path === (this.#pidFile?.path ?? null)) return;
    if (path === null) return await this.leave();
    await this.#assertVacant(path);
    await this.prepare(path);
    await this.assume();
  }

  /** Does all of `assume` that may well fail. Throws FatalError (exit code 1). */
  async prepare(path: string): Promise<void> {
    this.#prepared = new PidFile(path);
    await this.#prepared.prepare();
  }

  /** Becomes the Weir of the prepared file, whoever was that before. Throws FatalError (exit code 1). */
  async assume(): Promise<void> {
    const pidFile = this.#prepared;
    if (pidFile === null) return;
    await pidFile.write();
    this.#prepared = null;
    if (this.#pidFile?.path !== pidFile.path) await this.#pidFile?.remove();
    this.#pidFile = pidFile;
    await this.#openSocket(socketPathOf(pidFile.path));
  }

  /** Nobody can take this process's place any more. */
  async #closeSocket(): Promise<void> {
    await this.#socket?.remove();
    this.#socket = null;
    this.#server?.close();
    this.#server = null;
  }

  /** Removes what is still this process's. */
  async leave(): Promise<void> {
    const pidFile = this.#pidFile;
    // First of all: a newer process that is still talked to finds nobody who would go on.
    this.#pidFile = null;
    await this.#closeSocket();
    for (const conversation of this.#conversations.keys()) conversation.destroy();
    await Promise.all(this.#conversations.values());
    // One that was given up at this moment: the file and the socket were about to be taken back.
    this.#pidFile = null;
    await this.#closeSocket();
    await pidFile?.remove();
    await this.#prepared?.discard();
  }

  async #assertVacant(path: string): Promise<void> {
    if (!(await isServed(socketPathOf(path)))) return;
    const pid = (await readPid(path)) ?? "unknown";
    throw new FatalError(
      `pidFile: ${path} is that of a running Weir (pid ${pid}); --takeover would replace it`,
      ExitCode.cannotBind,
    );
  }

  async #openSocket(path: string): Promise<void> {
    const { log } = this.#options;
    if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
      await this.#closeSocket();
      return log.warn("no --takeover: pidFile is too long for the socket beside it", { path });
    }
    const server = net.createServer((socket) => {
      const conversation = new Conversation(socket);
      this.#conversations.set(conversation, this.#converse(conversation));
    });
    let socket: UnixSocket | null = null;
    try {
      socket = await listenAtPath(server, path, SOCKET_MODE);
    } catch (error) {
      log.error("no --takeover: the socket beside pidFile cannot be opened", { path, error: String(error) });
    }
    // Not before: at no moment may somebody who looks find nobody at the path.
    await this.#closeSocket();
    this.#socket = socket;
    this.#server = socket === null ? null : server;
  }

  async #converse(newer: Conversation): Promise<void> {
    try {
      await this.#answer(newer);
    } catch (error) {
      this.#options.log.error("takeover failed", { error: String(error) });
    } finally {
      this.#conversations.delete(newer);
      newer.destroy();
    }
  }

  async #answer(newer: Conversation): Promise<void> {
    const line = await newer.hear(performance.now() + HELLO_TIMEOUT_MS);
    // Somebody looked whether anyone is here.
    if (line === null) return;
    const hello = helloSchema.safeParse(parseLine(line));
    const refuse = (reason: string): void => newer.say(JSON.stringify({ refused: reason }));
    if (!hello.success) return refuse(`it speaks version ${PROTOCOL_VERSION} of the takeover`);
    if (this.#isBeingReplaced) return refuse("another process is taking over already");
    this.#isBeingReplaced = true;
    try {
      newer.say(JSON.stringify({ pid: process.pid, ...this.#options.facts() }));
      const order = await newer.hear(performance.now() + this.#patience.beginMs);
      if (order === "begin") await this.#handOver(newer, hello.data.pid);
      else if (order === null && !newer.isOver) this.#complain(hello.data.pid);
    } finally {
      this.#isBeingReplaced = false;
    }
  }

  async #handOver(newer: Conversation, pid: number): Promise<void> {
    const { log, onReplaced } = this.#options;
    log.info("another process takes over", { pid });
    if (!(await this.#yieldTo(newer, pid))) return await this.#goOn(pid);
    log.info("taken over", { pid });
    // It is the other's now, also where that one has the same pid, in a container of its own.
    this.#pidFile = null;
    onReplaced();
  }

  /** Whether the newer process has come to serve in this one's place. */
  async #yieldTo(newer: Conversation, pid: number): Promise<boolean> {
    // Its word counts whatever it has read of the state: it waits no longer for that than it wants to.
    const hearing = newer.hear(performance.now() + this.#patience.handOverMs);
    const handedOver = this.#handStateTo(newer);
    const word = await hearing;
    if (word === null && !newer.isOver) this.#complain(pid);
    newer.destroy();
    await handedOver;
    return word === "done";
  }

  async #handStateTo(newer: Conversation): Promise<void> {
    const { log, records, giveUp } = this.#options;
    try {
      await giveUp();
      newer.say("yielded");
      await newer.sayAll(stateLines(records(), Date.now()));
    } catch (error) {
      log.debug("the state was not handed over whole", { error: String(error) });
    }
  }

  /** Nobody but an operator can know for sure which process this is. */
  #complain(pid: number): void {
    const message =
      "the process that is taking over hangs; until it is ended, clients may come to it and wait";
    this.#options.log.error(message, { pid });
  }

  async #goOn(pid: number): Promise<void> {
    const { log } = this.#options;
    log.warn("the process that was to take over is given up; this one goes on", { pid });
    const path = this.#pidFile?.path;
    if (path === undefined) return;
    // Each whatever becomes of the other: pidFile's folder may be full, or the address somebody's.
    await Promise.all([
      this.#takeBack(),
      this.#takePidFileBack(path).catch((error: unknown) =>
        log.error("takeover failed", { error: String(error) }),
      ),
    ]);
  }

  async #takePidFileBack(path: string): Promise<void> {
    await this.prepare(path);
    if (this.#pidFile !== null) await this.assume();
  }

  /** Until it has what it gave up: the other one may hang with it in its hands. */
  async #takeBack(): Promise<void> {
    const { log, takeBack } = this.#options;
    for (let tries = 1; this.#pidFile !== null; tries += 1) {
      try {
        return await takeBack();
      } catch (error) {
        if (tries === UNTOLD_TRIES) log.error("takeover failed, trying on", { error: String(error) });
        await new Promise((resolve) => setTimeout(resolve, TAKE_BACK_INTERVAL_MS));
      }
    }
  }
}
