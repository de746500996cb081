// The entry of a data-plane thread: builds its parts and follows the control plane's messages.

import { parentPort, workerData } from "node:worker_threads";
import type { Config } from "../config/schema.ts";
import { readerOf, type TlsFiles } from "../config/tls-files.ts";
import { activityCells } from "../shared-memory/activity.ts";
import { SharedClock } from "../shared-memory/clock.ts";
import { BucketView } from "../shared-memory/bucket-table.ts";
import { BufferedBytesCells } from "../shared-memory/buffered-bytes.ts";
import { Channel, type ToControl, type ToWorker } from "../shared-memory/channel.ts";
import { CounterBlock } from "../shared-memory/counters.ts";
import { reportEventLoopDelay } from "../shared-memory/event-loop-delay.ts";
import type { Answer, Question } from "../shared-memory/questions.ts";
import type { WorkerSetup } from "../shared-memory/worker-setup.ts";
import { AdmissionDesk } from "./admission-desk.ts";
import { ClientSockets } from "./client-sockets.ts";
import { Connections } from "./connections.ts";
import { CredentialServices } from "./credentials/credential-services.ts";
import { DialTargets } from "./dial-targets.ts";
import { explain } from "./explain.ts";
import { PlainRequests } from "./http.ts";
import { Inspector } from "./inspector.ts";
import { Listener } from "./listener.ts";
import { ListenersSettings } from "./listener-settings.ts";
import { shareCounts } from "./open-sockets.ts";
import type { PendingClient } from "./pending-client.ts";
import { Reporter } from "./reporter.ts";
import { Settings } from "./settings.ts";
import { Taps } from "./taps.ts";
import { onUpgrade } from "./upgrade.ts";

const NEWCOMERS_POLL_MS = 10;

class DataPlane {
  readonly #channel: Channel<ToControl>;
  readonly #desk: AdmissionDesk;
  readonly #reporter: Reporter;
  readonly #connections: Connections;
  readonly #inspector: Inspector;
  readonly #taps: Taps;
  readonly #requests: PlainRequests;
  readonly #buckets = new BucketView();
  readonly #sockets: ClientSockets;
  readonly #pending = new Set<PendingClient>();
  readonly #listeners = new Map<number, Listener>();
  readonly #listenersSettings: ListenersSettings;
  readonly #targets: DialTargets;
  readonly #services: CredentialServices;
  #settings: Settings | null = null;

  constructor(channel: Channel<ToControl>, setup: WorkerSetup) {
    this.#channel = channel;
    this.#targets = new DialTargets(setup);
    this.#listenersSettings = new ListenersSettings(setup.ticketKeys);
    this.#desk = new AdmissionDesk(channel);
    this.#reporter = new Reporter(channel, () => this.#current().config.log.access);
    this.#sockets = new ClientSockets({
      room: setup.sockets.room,
      kept: setup.sockets.kept,
      onCut: (hasAsked) => this.#reporter.socketCut(hasAsked),
    });
    this.#services = new CredentialServices((level, message, fields) =>
      this.#reporter.log(level, message, fields),
    );
    for (const segment of setup.bucketSegments) this.#buckets.addSegment(segment);
    this.#taps = new Taps(channel);
    this.#connections = new Connections({
      taps: this.#taps,
      desk: this.#desk,
      reporter: this.#reporter,
      settings: () => this.#current(),
      cells: new CounterBlock(setup.counters).cells,
      buckets: this.#buckets,
      activity: activityCells(setup.activity),
      buffered: new BufferedBytesCells(setup.bufferedBytes, setup.index),
      clock: new SharedClock(setup.clockEpochNs),
      phase: setup.index / setup.threads,
    });
    this.#inspector = new Inspector(this.#connections);
    this.#requests = new PlainRequests({
      settings: () => this.#current(),
      desk: this.#desk,
      reporter: this.#reporter,
    });
  }

  onMessage(message: ToWorker): void {
    switch (message.type) {
      case "granted":
        return this.#desk.onGranted(message.grant);
      case "refused":
        return this.#desk.onRefused(message.id, message.code);
      case "verdict":
        return this.#desk.onVerdict(message.id, message.isSo);
      case "configure":
        return this.#configure(message.version, message.config, message.files);
      case "ticket-keys":
        return this.#listenersSettings.setTicketKeys(message.keys);
      case "listen":
        return void this.#listen(message);
      case "bucket-segment":
        return this.#buckets.addSegment(message.segment);
      case "buckets":
        return this.#connections.changeBuckets(message.id, message.buckets);
      case "publish":
        return void this.#publish();
      case "stop-accepting":
        return void this.#stopAccepting(message.withinMs);
      case "stop-listening":
        return void this.#stopListening();
      case "close":
        return this.#connections.close(message.id, message.reason, message.words);
      case "tap":
        return this.#taps.add(message, this.#connections.entries());
      case "untap":
        return this.#taps.remove(message.id, (id) => this.#connections.find(id));
      case "tapped-arrived":
        return this.#taps.onArrived(message.id);
      case "question":
        return void this.#answer(message.id, message.question);
      case "close-all":
        return this.#connections.closeAll(message);
      case "announce-drain":
        return this.#connections.announceDrain(message.graceMs);
      case "destroy-all":
        return this.#destroyAll();
      default:
        return message satisfies never;
    }
  }

  #current(): Settings {
    if (this.#settings === null) throw new Error("a worker was used before it was configured");
    return this.#settings;
  }

  /** All or nothing: what may throw comes before what changes anything. */
  #configure(version: number, config: Config, files: TlsFiles): void {
    let error: string | null = null;
    try {
      const readFile = readerOf(files);
      const listeners = this.#listenersSettings.prepare(config, readFile);
      this.#settings = new Settings(config, { targets: this.#targets, services: this.#services, readFile });
      this.#listenersSettings.use(listeners);
      this.#connections.configure();
      for (const [index, listener] of this.#listeners) {
        listener.configure(config, this.#listenersSettings.of(index));
      }
    } catch (cause) {
      error = cause instanceof Error ? cause.message : String(cause);
    }
    this.#channel.post({ type: "configured", version, error });
  }

  async #listen({ listener, address }: Extract<ToWorker, { type: "listen" }>): Promise<void> {
    let port = 0;
    const context = {
      settings: () => this.#current(),
      desk: this.#desk,
      connections: this.#connections,
      pending: this.#pending,
      reporter: this.#reporter,
      sockets: this.#sockets,
      listener: () => this.#listenersSettings.of(listener),
      localPort: () => port,
    };
    const server = new Listener({
      config: this.#current().config,
      settings: this.#listenersSettings.of(listener),
      reporter: this.#reporter,
      sockets: this.#sockets,
      // Both answer their own errors; what is left is a mistake of ours, which must not cost the others.
      onUpgrade: (request, socket, head) =>
        void onUpgrade(context, request, socket, head).catch((error: unknown) =>
          this.#onMistake(error, () => socket.destroy()),
        ),
      onRequest: (request, response) =>
        void this.#requests
          .onRequest(request, response, this.#listenersSettings.of(listener))
          .catch((error: unknown) => this.#onMistake(error, () => response.destroy())),
    });
    try {
      port = await server.listen(address);
      // A configuration may have come meanwhile.
      server.configure(this.#current().config, this.#listenersSettings.of(listener));
      this.#listeners.set(listener, server);
      this.#channel.post({ type: "listening", listener, port });
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
      this.#channel.post({ type: "listen-failed", listener, code });
    }
  }

  async #answer(id: number, question: Question): Promise<void> {
    try {
      const answer: Answer =
        question.kind === "explanation"
          ? { kind: "explanation", explanation: await explain(question.asked, this.#current()) }
          : await this.#inspector.answer(question);
      this.#channel.post({ type: "answer", id, answer });
    } catch (error) {
      this.#onMistake(error, () => {});
    }
  }

  /** What each listener gives. */
  #all<T>(ask: (listener: Listener) => T): T[] {
    return Array.from(this.#listeners.values(), ask);
  }

  #onMistake(error: unknown, destroy: () => void): void {
    this.#reporter.log("error", "internal error", {
      error: error instanceof Error ? error.stack : String(error),
    });
    destroy();
  }

  async #publish(): Promise<void> {
    let error: string | null = null;
    try {
      await Promise.all(this.#all((listener) => listener.publish()));
    } catch (cause) {
      error = cause instanceof Error ? cause.message : String(cause);
    }
    this.#channel.post({ type: "published", error });
  }

  /** Whoever was accepted by us cannot come to another process any more, and is served. */
  async #stopAccepting(withinMs: number): Promise<void> {
    const endMs = performance.now() + withinMs;
    await Promise.all(this.#all((listener) => listener.stopAccepting()));
    while (performance.now() < endMs && this.#sockets.newcomers > 0) {
      await new Promise((resolve) => setTimeout(resolve, NEWCOMERS_POLL_MS));
    }
    this.#channel.post({ type: "stopped-accepting" });
  }

  /** Each is somebody's to account for, who learns of it as of any end. */
  #destroyAll(): void {
    this.#connections.destroyAll();
    this.#requests.destroyAll();
    for (const { socket } of this.#pending) socket.destroy();
    for (const listener of this.#listeners.values()) listener.destroyAll();
    this.#sockets.cut(() => true);
  }

  async #stopListening(): Promise<void> {
    // Before `stopped-listening`: who hears of that knows of every request.
    this.#targets.startDraining();
    this.#requests.startDraining((requests) => this.#channel.post({ type: "requests-in-flight", requests }));
    await Promise.all(this.#all((listener) => listener.close()));
    this.#channel.post({ type: "stopped-listening" });
  }
}

if (parentPort === null) throw new Error("data-plane/worker is started as a worker thread only");
const setup = workerData as WorkerSetup;
shareCounts(setup.sockets.counts, setup.index);
reportEventLoopDelay(setup.eventLoopDelays, setup.index, new SharedClock(setup.clockEpochNs));
const dataPlane = new DataPlane(new Channel<ToControl>(parentPort), setup);
parentPort.on("message", (batch: ToWorker[]) => {
  for (const message of batch) dataPlane.onMessage(message);
});
