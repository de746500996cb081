// graphql-ws on both sides of Weir: a server over `ws` whose schema echoes and tells news, and a client that
// records what becomes of its connections.
import { EventEmitter, on, once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import {
  execute,
  GraphQLNonNull,
  GraphQLObjectType,
  GraphQLSchema,
  GraphQLString,
  parse,
  subscribe,
  validate,
} from "graphql";
import { type Client, type ClientOptions, createClient, type Message } from "graphql-ws/client";
import { useServer } from "graphql-ws/use/ws";
import { type ServerOptions, WebSocket, WebSocketServer } from "ws";

import { onCleanup } from "./cleanup.ts";
import { until } from "./until.ts";

/** What a test sees of one connection at its server. */
interface ServerConnection {
  readonly socket: WebSocket;
  /** Sec-WebSocket-Extensions as the client, and Weir, offered it. */
  readonly offer: string | undefined;
}

class GraphqlServer {
  readonly url: string;
  /** Every connection that was acknowledged, in order. */
  readonly connections: readonly ServerConnection[];
  readonly #news: EventEmitter;

  constructor(port: number, connections: readonly ServerConnection[], news: EventEmitter) {
    this.url = `ws://127.0.0.1:${port}`;
    this.connections = connections;
    this.#news = news;
  }

  /** Resolves once so many subscriptions to `news` are open. */
  async subscribers(count: number): Promise<void> {
    await until(`${count} subscriptions`, () => this.#news.listenerCount("text") === count);
  }

  /** To all that are subscribed. */
  tell(text: string): void {
    this.#news.emit("text", text);
  }

  /** Completes all subscriptions. */
  endNews(): void {
    this.#news.emit("end");
  }
}

/** Serves `query { echo(text) }` and `subscription { news }`. */
export async function startGraphqlServer(options: ServerOptions = {}): Promise<GraphqlServer> {
  const news = new EventEmitter();
  const connections: ServerConnection[] = [];
  const http = createServer();
  const webSockets = new WebSocketServer({ ...options, server: http });
  useServer(
    {
      schema: schemaWith(news),
      // Of the module that the schema is of: vitest resolves `graphql` to its development build, and Node,
      // for graphql-ws, to the other one.
      parse,
      validate,
      execute,
      subscribe,
      // A client whose first message is held back is not late.
      connectionInitWaitTimeout: 60_000,
      onConnect: ({ extra: { socket, request } }) => {
        connections.push({ socket, offer: request.headers["sec-websocket-extensions"] });
      },
    },
    webSockets,
  );
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  onCleanup("the GraphQL server", async () => {
    for (const client of webSockets.clients) client.terminate();
    http.close();
    await once(http, "close");
  });
  return new GraphqlServer((http.address() as AddressInfo).port, connections, news);
}

function schemaWith(news: EventEmitter): GraphQLSchema {
  const text = new GraphQLNonNull(GraphQLString);
  return new GraphQLSchema({
    query: new GraphQLObjectType<unknown>({
      name: "Query",
      fields: { echo: { type: text, args: { text: { type: text } }, resolve: (_, { text }) => text } },
    }),
    subscription: new GraphQLObjectType<readonly unknown[]>({
      name: "Subscription",
      fields: {
        news: {
          type: text,
          subscribe: () => on(news, "text", { close: ["end"] }),
          resolve: ([text]) => text,
        },
      },
    }),
  });
}

interface ClientRecord {
  /** Of each connection that opened, in order. */
  readonly subprotocols: string[];
  readonly closes: { readonly code: number; readonly reason: string }[];
  readonly messages: Message[];
  /** How often the server acknowledged a connection. */
  connected: number;
  pingsSent: number;
  pongsReceived: number;
}

interface GraphqlClient {
  readonly client: Client;
  readonly record: ClientRecord;
}

/** It connects at once, stays connected without operations, and connects again without a wait. */
export function createGraphqlClient(
  url: string | (() => string),
  options: Partial<ClientOptions> = {},
): GraphqlClient {
  const record: ClientRecord = {
    subprotocols: [],
    closes: [],
    messages: [],
    connected: 0,
    pingsSent: 0,
    pongsReceived: 0,
  };
  const client = createClient({
    url,
    webSocketImpl: WebSocket,
    lazy: false,
    retryWait: () => Promise.resolve(),
    // A close that it gives up at is in the record.
    onNonLazyError: () => {},
    ...options,
    on: {
      opened: (socket) => record.subprotocols.push((socket as WebSocket).protocol),
      connected: () => (record.connected += 1),
      closed: (event) => {
        const { code, reason } = event as { readonly code: number; readonly reason: string };
        record.closes.push({ code, reason });
      },
      message: (message) => record.messages.push(message),
      ping: (received) => (record.pingsSent += received ? 0 : 1),
      pong: (received) => (record.pongsReceived += received ? 1 : 0),
    },
  });
  onCleanup("a graphql-ws client", () => dispose(client));
  return { client, record };
}

/** Waits for a connection that is being made, which may come to nothing: that is an end as well. */
export async function dispose(client: Client): Promise<void> {
  await Promise.allSettled([client.dispose()]);
}

/** As `createGraphqlClient`; resolves once the connection is acknowledged. */
export async function connectGraphqlClient(
  url: string | (() => string),
  options: Partial<ClientOptions> = {},
): Promise<GraphqlClient> {
  const created = createGraphqlClient(url, options);
  await until("the connection of graphql-ws", () => created.record.connected === 1);
  return created;
}

/** Sends a query for each of these texts at once; the array fills as they are answered. */
export function askAll({ client }: GraphqlClient, texts: readonly string[]): unknown[] {
  const answers: unknown[] = [];
  for (const text of texts) {
    client.subscribe(
      { query: "query ($text: String!) { echo(text: $text) }", variables: { text } },
      {
        next: ({ data, errors }) => answers.push(errors ?? data?.["echo"]),
        error: (error) => answers.push(error),
        complete: () => {},
      },
    );
  }
  return answers;
}

/** Subscribes to the news; the array fills as they come, and ends with `the end` when they are completed. */
export function hearNews({ client }: GraphqlClient): unknown[] {
  const heard: unknown[] = [];
  client.subscribe(
    { query: "subscription { news }" },
    {
      next: ({ data, errors }) => heard.push(errors ?? data?.["news"]),
      error: (error) => heard.push(error),
      complete: () => heard.push("the end"),
    },
  );
  return heard;
}
