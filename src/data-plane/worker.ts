// The entry of a data-plane thread: builds its parts and follows the control plane's messages.

import { parentPort, workerData } from "node:worker_threads";
import type { Config } from "../config/schema.ts";
import { Channel, type ToControl, type ToWorker, type WorkerSetup } from "../shared-memory/channel.ts";
import { CounterBlock } from "../shared-memory/counters.ts";
import { AdmissionDesk } from "./admission-desk.ts";
import { Connections } from "./connections.ts";
import { PlainRequests } from "./http.ts";
import { Listener } from "./listener.ts";
import { Reporter } from "./reporter.ts";
import { Settings } from "./settings.ts";
import { onUpgrade } from "./upgrade.ts";

class DataPlane {
  readonly #channel: Channel<ToControl>;
  readonly #desk: AdmissionDesk;
  readonly #reporter: Reporter;
  readonly #connections: Connections;
  readonly #requests: PlainRequests;
  readonly #listeners: Listener[] = [];
  #settings: Settings | null = null;

  constructor(channel: Channel<ToControl>, counters: CounterBlock) {
    this.#channel = channel;
    this.#desk = new AdmissionDesk(channel);
    this.#reporter = new Reporter(channel, () => this.#current().config.log.access);
    this.#connections = new Connections(this.#desk, this.#reporter, counters.cells);
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
      case "configure":
        return this.#configure(message.version, message.config);
      case "listen":
        return void this.#listen(message);
      case "stop-listening":
        return void this.#stopListening();
      case "close-all":
        return this.#connections.closeAll(message.reason);
      case "destroy-all":
        return this.#connections.destroyAll();
      default:
        return message satisfies never;
    }
  }

  #current(): Settings {
    if (this.#settings === null) throw new Error("a worker was used before it was configured");
    return this.#settings;
  }

  #configure(version: number, config: Config): void {
    let error: string | null = null;
    try {
      this.#settings = new Settings(config);
    } catch (cause) {
      error = cause instanceof Error ? cause.message : String(cause);
    }
    this.#channel.post({ type: "configured", version, error });
  }

  async #listen({ listener, address }: Extract<ToWorker, { type: "listen" }>): Promise<void> {
    const server = new Listener({
      config: this.#current().config,
      reporter: this.#reporter,
      onUpgrade: (request, socket, head) =>
        void onUpgrade(
          {
            settings: () => this.#current(),
            desk: this.#desk,
            connections: this.#connections,
            reporter: this.#reporter,
          },
          request,
          socket,
          head,
        ),
      onRequest: (request, response) => void this.#requests.onRequest(request, response),
    });
    try {
      const port = await server.listen(address);
      this.#listeners.push(server);
      this.#channel.post({ type: "listening", listener, port });
    } catch (error) {
      const code = error instanceof Error && "code" in error ? String(error.code) : String(error);
      this.#channel.post({ type: "listen-failed", listener, code });
    }
  }

  async #stopListening(): Promise<void> {
    this.#requests.startDraining();
    await Promise.all(this.#listeners.map((listener) => listener.close()));
    this.#channel.post({ type: "stopped-listening" });
  }
}

if (parentPort === null) throw new Error("data-plane/worker is started as a worker thread only");
const setup = workerData as WorkerSetup;
const dataPlane = new DataPlane(new Channel<ToControl>(parentPort), new CounterBlock(setup.counters));
parentPort.on("message", (batch: ToWorker[]) => {
  for (const message of batch) dataPlane.onMessage(message);
});
