// How real WebSocket clients take the end of a connection: what they see of it, and whether they come
// back by themselves. Each connects through Weir by its own protocol, and tells one story per connection.
import type { ClientRequestArgs } from "node:http";
import { createConnection, type TcpNetConnectOpts } from "node:net";

import { createClient } from "graphql-ws/client";
import type { Page } from "playwright-core";
import { io } from "socket.io-client";
import { WebSocket as NodeWebSocket } from "ws";

import { onCleanup } from "./cleanup.ts";
import { dispose } from "./graphql-ws.ts";

/** What a client has seen of the end of its first connection, and does then. */
export interface Reaction {
  /** Null where the client tells its user none. */
  readonly code: number | null;
  readonly isClean: boolean | null;
  /** `late` is after a time-out of its own, since it has not noticed the end. */
  readonly comesBack: "no" | "yes" | "late";
}

export interface Trial {
  /** Resolves when the connection is in use; never where it is refused. */
  readonly opened: () => Promise<void>;
  /** Resolves when the client has begun to connect again, or has given up. */
  readonly reaction: Promise<Reaction>;
}

interface TrialOptions {
  /** How long Socket.IO waits for the end of its opening handshake: 20 s unless its user says otherwise. */
  readonly handshakeTimeoutMs?: number;
}

export interface ReactingClient {
  readonly name: string;
  readonly protocol: "echo" | "socketio" | "graphql";
  /** Connects, and lives as long as the test. */
  readonly start: (url: string, options: TrialOptions) => Trial;
}

interface CloseFacts {
  readonly code: number;
  readonly wasClean: boolean;
}

/** The API that a page has. */
export function pageClient(page: Page): ReactingClient {
  const attempts: string[] = [];
  let trials = 0;
  page.on("websocket", (socket) => attempts.push(socket.url()));
  return {
    name: "a page in Chromium",
    protocol: "echo",
    start: (path) => {
      // Each is told from the others by its URL.
      const url = `${path}?trial=${trials++}`;
      const handle = page.evaluateHandle((url) => {
        const socket = new WebSocket(url);
        const closed = new Promise<CloseFacts>((resolve) => {
          socket.addEventListener("close", ({ code, wasClean }) => resolve({ code, wasClean }));
        });
        const opened = new Promise<void>((resolve) => {
          socket.addEventListener("open", () => resolve());
        });
        return { opened, closed };
      }, url);
      const closed = handle.then((trial) => trial.evaluate((trial) => trial.closed));
      return {
        opened: async () => (await handle).evaluate((trial) => trial.opened),
        reaction: closed.then(({ code, wasClean }) => {
          const count = attempts.filter((attempt) => attempt === url).length;
          return { code, isClean: wasClean, comesBack: count > 1 ? "yes" : "no" };
        }),
      };
    },
  };
}

export const wsClient: ReactingClient = {
  name: "`ws`",
  protocol: "echo",
  start: (url) => {
    let attempts = 0;
    const socket = new NodeWebSocket(url, {
      createConnection: (options: ClientRequestArgs) => {
        attempts += 1;
        return createConnection(options as TcpNetConnectOpts);
      },
    });
    onCleanup("a ws client", () => socket.terminate());
    const opened = Promise.withResolvers<void>();
    const reaction = Promise.withResolvers<Reaction>();
    socket.addEventListener("open", () => opened.resolve());
    // What it says of a refusal; its close event follows.
    socket.addEventListener("error", () => {});
    socket.addEventListener("close", ({ code, wasClean }) => {
      reaction.resolve({ code, isClean: wasClean, comesBack: attempts > 1 ? "yes" : "no" });
    });
    return { opened: () => opened.promise, reaction: reaction.promise };
  },
};

/** By WebSocket only: with polling first, a refused upgrade leaves it polling. */
export const socketIoClient: ReactingClient = {
  name: "Socket.IO",
  protocol: "socketio",
  start: (url, { handshakeTimeoutMs = 20_000 }) => {
    const { origin, pathname } = new URL(url.replace(/^ws/, "http"));
    const socket = io(origin, {
      path: pathname,
      addTrailingSlash: false,
      transports: ["websocket"],
      forceNew: true,
      reconnectionDelay: 1,
      reconnectionAttempts: 1,
      timeout: handshakeTimeoutMs,
    });
    onCleanup("a Socket.IO client", () => void socket.disconnect());
    const opened = Promise.withResolvers<void>();
    const reaction = Promise.withResolvers<Reaction>();
    let seen: CloseFacts | null = null;
    let isLate = false;
    socket.on("connect", () => opened.resolve());
    socket.on("disconnect", (_, details) => {
      if (details !== undefined && "context" in details) seen = details.context as CloseFacts;
      if (!socket.active) reaction.resolve(reactionOf(seen, "no"));
    });
    socket.on("connect_error", (error) => {
      isLate = error.message === "timeout";
      if (!socket.active) reaction.resolve(reactionOf(seen, "no"));
    });
    socket.io.on("reconnect_attempt", () => reaction.resolve(reactionOf(seen, isLate ? "late" : "yes")));
    return { opened: () => opened.promise, reaction: reaction.promise };
  },
};

/** With a subscription open, as without one it has no connection. */
export const graphqlClient: ReactingClient = {
  name: "graphql-ws",
  protocol: "graphql",
  start: (url) => {
    const opened = Promise.withResolvers<void>();
    const reaction = Promise.withResolvers<Reaction>();
    let seen: CloseFacts | null = null;
    let attempts = 0;
    const client = createClient({
      url,
      webSocketImpl: NodeWebSocket,
      retryWait: () => Promise.resolve(),
      on: {
        connecting: () => {
          attempts += 1;
          if (attempts > 1) reaction.resolve(reactionOf(seen, "yes"));
        },
        connected: () => opened.resolve(),
        closed: (event) => (seen ??= event as CloseFacts),
      },
    });
    onCleanup("a graphql-ws client", () => dispose(client));
    const giveUp = (): void => reaction.resolve(reactionOf(seen, "no"));
    client.subscribe({ query: "subscription { news }" }, { next: () => {}, error: giveUp, complete: giveUp });
    return { opened: () => opened.promise, reaction: reaction.promise };
  },
};

function reactionOf(seen: CloseFacts | null, comesBack: Reaction["comesBack"]): Reaction {
  return { code: seen?.code ?? null, isClean: seen?.wasClean ?? null, comesBack };
}
