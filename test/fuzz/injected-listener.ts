// The real listener of a worker thread with all that stands behind it, up to the control plane, which here
// lets nobody in: what a client sends comes on sockets that are none.

import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { IncomingMessage, Server } from "node:http";
import { AdmissionDesk } from "../../src/data-plane/admission-desk.ts";
import { ClientSockets } from "../../src/data-plane/client-sockets.ts";
import type { Connections } from "../../src/data-plane/connections.ts";
import { PlainRequests } from "../../src/data-plane/http.ts";
import { Listener } from "../../src/data-plane/listener.ts";
import { ListenersSettings } from "../../src/data-plane/listener-settings.ts";
import type { PendingClient } from "../../src/data-plane/pending-client.ts";
import { Reporter } from "../../src/data-plane/reporter.ts";
import { Settings } from "../../src/data-plane/settings.ts";
import { onUpgrade } from "../../src/data-plane/upgrade.ts";
import type { Config } from "../../src/config/schema.ts";
import { Channel, type ToControl } from "../../src/shared-memory/channel.ts";
import { FakeSocket } from "../support/fake-socket.ts";

const LISTENING = "tracing:net.server.listen:asyncStart";

/** A client's socket, with as much of one as the listener asks for. */
export class InjectedSocket extends FakeSocket {
  readonly remoteAddress: string;
  readonly localAddress = "198.51.100.1";
  readonly localPort = 8080;

  constructor(remoteAddress: string) {
    super();
    this.remoteAddress = remoteAddress;
  }

  setTimeout(): this {
    return this;
  }
}

export interface Listening {
  readonly settings: Settings;
  /** What the control plane is told, in order, until it is taken. */
  readonly told: ToControl[];
  /** The upgrades that came as far as an answer, likewise. */
  readonly upgrades: IncomingMessage[];
  readonly accept: (socket: InjectedSocket) => void;
}

export async function listenForInjected(config: Config): Promise<Listening> {
  const told: ToControl[] = [];
  const upgrades: IncomingMessage[] = [];
  const settings = new Settings(config);
  const listeners = new ListenersSettings(Buffer.alloc(48)).prepare(config, () => Buffer.alloc(0));
  const [listener] = listeners;
  assert(listener !== undefined);
  const channel = new Channel<ToControl>({ postMessage() {} });
  // Its batches would only cost time: there is no other thread.
  channel.post = (message) => queueMicrotask(() => answer(message));
  channel.postUnhurried = (message) => void told.push(message);
  const desk = new AdmissionDesk(channel);
  const reporter = new Reporter(channel, () => true);
  const requests = new PlainRequests({ settings: () => settings, desk, reporter });

  function answer(message: ToControl): void {
    told.push(message);
    if (message.type === "admit") desk.onRefused(message.request.id, "no_backend");
    if (message.type === "enter" || message.type === "ask-readiness") desk.onVerdict(message.id, true);
  }

  const sockets = new ClientSockets({ room: Number.POSITIVE_INFINITY, kept: 0, onCut: () => {} });
  const context = {
    settings: () => settings,
    desk,
    connections: null as unknown as Connections,
    pending: new Set<PendingClient>(),
    reporter,
    sockets,
    listener: () => listener,
    localPort: () => 8080,
  };
  const server = await serverOf(
    new Listener({
      config,
      settings: listener,
      reporter,
      sockets,
      onUpgrade(request, socket, head) {
        upgrades.push(request);
        void onUpgrade(context, request, socket, head);
      },
      onRequest: (request, response) => void requests.onRequest(request, response, listener),
    }),
  );
  return { settings, told, upgrades, accept: (socket) => void server.emit("connection", socket) };
}

/** "This event can also be explicitly emitted by users to inject connections into the HTTP server" (Node). */
async function serverOf(listener: Listener): Promise<Server> {
  let found: Server | null = null;
  const onListening = (message: unknown): void => {
    found = (message as { readonly server: Server }).server;
  };
  subscribe(LISTENING, onListening);
  await listener.listen({ kind: "tcp", host: "127.0.0.1", port: 0, reusePort: false });
  unsubscribe(LISTENING, onListening);
  assert(found !== null);
  return found;
}
