// The keep-alive agents that carry plain requests to one backend: one for each set of addresses.

import http from "node:http";
import https from "node:https";
import type net from "node:net";
import { Connecting, type ConnectTarget } from "./connecting.ts";

/** An idle socket to a backend is kept this long for the next request. */
const IDLE_SOCKET_MS = 30_000;

/** What Node's agent asks for a socket with; its types know of no call without one. */
type Created = (error: Error | null, socket?: net.Socket) => void;

export class BackendAgents {
  readonly #target: ConnectTarget;
  readonly #agents = new Map<string, http.Agent>();
  #isRetired = false;

  constructor(target: ConnectTarget) {
    this.#target = target;
  }

  /**
   * A request on it fails with DialFailure where no socket comes about.
   * @param proxyHeader of one client, whose request then has a socket of its own; null for none
   */
  agentFor(addresses: readonly string[] | null, proxyHeader: Buffer | null): http.Agent {
    if (proxyHeader !== null) return this.#create(addresses, proxyHeader);
    const key = addresses?.join(" ") ?? "";
    const known = this.#agents.get(key);
    if (known !== undefined) return known;
    this.#forgetUnused();
    const agent = this.#create(addresses, null);
    this.#agents.set(key, agent);
    return agent;
  }

  /** Keeps no socket any more; requests under way go on. */
  retire(): void {
    this.#isRetired = true;
    for (const agent of this.#agents.values()) {
      agent.maxFreeSockets = 0;
      for (const socket of Object.values(agent.freeSockets).flat()) socket?.destroy();
    }
  }

  #create(addresses: readonly string[] | null, proxyHeader: Buffer | null): http.Agent {
    const target = this.#target;
    const options = { keepAlive: proxyHeader === null, timeout: IDLE_SOCKET_MS };
    const agent = target.config.target.secure ? new https.Agent(options) : new http.Agent(options);
    agent.createConnection = (_options, callback) => {
      const created = callback as Created;
      void new Connecting(
        // A socket that the backend has ended is of no use to the next request.
        { target, addresses, proxyHeader, allowHalfOpen: false },
        { connected: (socket) => created(null, socket), failed: (failure) => created(failure) },
      );
      return null;
    };
    if (this.#isRetired) agent.maxFreeSockets = 0;
    return agent;
  }

  /** Idle sockets of addresses that a name had before are closed in time: then nothing is left of them. */
  #forgetUnused(): void {
    for (const [key, agent] of this.#agents) {
      const isUsed = [agent.sockets, agent.freeSockets, agent.requests].some(
        (byName) => Object.values(byName).flat().length > 0,
      );
      if (!isUsed) this.#agents.delete(key);
    }
  }
}
