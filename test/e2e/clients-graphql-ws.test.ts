// graphql-ws through Weir: operations, limits that its connections survive, and how it comes back after
// a connection has ended.
import { once } from "node:events";
import { MessageType } from "graphql-ws/client";
import { describe, expect, test } from "vitest";
import { WebSocket } from "ws";

import {
  askAll,
  connectGraphqlClient,
  createGraphqlClient,
  hearNews,
  startGraphqlServer,
} from "../support/graphql-ws.ts";
import { type Limits, limitedConfig } from "../support/limited.ts";
import { scrape, untilMetric } from "../support/metrics.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { until, untilEqual, within } from "../support/until.ts";
import { openClient } from "../support/ws-client.ts";

const limited = "weir_messages_limited_total";
const subprotocol = "graphql-transport-ws";

function startLimiting(backend: string, options: Limits = {}): Promise<StartedWeir> {
  return startWeir(JSON.stringify(limitedConfig([backend], options)));
}

/** Much the same text each time, and so long that `ws` compresses it where it may. */
function textsOf(name: string, count: number): string[] {
  const fox = "the quick brown fox jumps over the lazy dog ".repeat(30);
  return Array.from({ length: count }, (_, i) => `${name} ${i}: ${fox}${i}`);
}

test("queries, a subscription that its server ends, and one that its client ends", async () => {
  const server = await startGraphqlServer();
  const { url } = await startLimiting(server.url);
  const ann = await connectGraphqlClient(url);
  expect(ann.record.subprotocols).toEqual([subprotocol]);
  expect(server.connections[0]?.socket.protocol).toBe(subprotocol);
  const answers = askAll(ann, ["one", "zwei", "三"]);
  await untilEqual("the number of answers", 3, () => answers.length);
  expect(answers).toEqual(["one", "zwei", "三"]);

  const heard = hearNews(ann);
  await server.subscribers(1);
  for (const text of ["first", "second"]) server.tell(text);
  server.endNews();
  await untilEqual("what was heard last", "the end", () => heard.at(-1));
  expect(heard).toEqual(["first", "second", "the end"]);

  const news = ann.client.iterate({ query: "subscription { news }" });
  await server.subscribers(1);
  server.tell("third");
  expect(await within("the news", news.next())).toEqual({ value: { data: { news: "third" } }, done: false });
  await news.return?.();
  await server.subscribers(0);
  expect(ann.record.closes).toEqual([]);
});

test("operations that are delayed are all answered, in order, and so are the keep-alives between them", async () => {
  const server = await startGraphqlServer();
  const weir = await startLimiting(server.url, { tier: { messages: { rate: "200/s", burst: 5 } } });
  const ann = await connectGraphqlClient(weir.url, { keepAlive: 10 });
  const [connection] = server.connections;
  if (connection === undefined) throw new Error("the server has no connection");
  const texts = textsOf("delayed", 100);
  const answers = askAll(ann, texts);
  // The client's pong comes behind its operations.
  connection.socket.ping();
  await within("the pong to the server's ping", once(connection.socket, "pong"));
  await untilEqual("the number of answers", texts.length, () => answers.length);
  const { pingsSent } = ann.record;
  expect(answers).toEqual(texts);
  expect(pingsSent).toBeGreaterThan(0);
  await until("its own pings are answered", () => ann.record.pongsReceived >= pingsSent);
  expect((await scrape(weir.adminUrl)).sum(limited, { action: "delay" })).toBeGreaterThan(0);
  expect(ann.record).toMatchObject({ connected: 1, closes: [] });
});

describe("where operations are dropped", () => {
  /** The client's greeting, a subscription and three operations pass. */
  const dropping = {
    tier: { messages: { rate: "1/h", burst: 5 } },
    limits: { onExceed: "drop" },
  };

  test.for([
    ["without compression", false],
    ["with compression", true],
  ] as const)("they have no answer, and all else goes on, %s", async ([, isCompressed]) => {
    const perMessageDeflate = isCompressed && { threshold: 0 };
    const server = await startGraphqlServer({ perMessageDeflate });
    const route = { notices: { limited: "rate limited", subprotocols: ["chat.v1"] } };
    const weir = await startLimiting(server.url, { ...dropping, route });
    const ann = await connectGraphqlClient(weir.url);
    const { socket, offer } = server.connections[0] ?? {};
    expect(offer).toContain("client_no_context_takeover");
    expect(socket?.extensions).toBe(isCompressed ? "permessage-deflate" : "");

    const heard = hearNews(ann);
    await server.subscribers(1);
    const limitedTexts = textsOf("limited", 20);
    const answers = askAll(ann, limitedTexts);
    await untilMetric(weir.adminUrl, 17, limited, { action: "drop" });
    await untilEqual("the number of answers", 3, () => answers.length);
    server.tell("still here");
    await untilEqual("the news", "still here", () => heard.at(-1));
    expect(answers).toEqual(limitedTexts.slice(0, 3));

    await weir.weir.reload(limitedConfig([server.url], { route }));
    const laterTexts = textsOf("later", 20);
    const laterAnswers = askAll(ann, laterTexts);
    await untilEqual("the number of answers", laterTexts.length, () => laterAnswers.length);
    expect(laterAnswers).toEqual(laterTexts);
    expect(answers).toEqual(limitedTexts.slice(0, 3));
    expect(heard).toEqual(["still here"]);
    expect(ann.record).toMatchObject({ connected: 1, closes: [] });
  });

  // Also what the absence of a Close proves above.
  test("a notice that is no message of the protocol ends it, where the subprotocol is listed", async () => {
    const server = await startGraphqlServer();
    const route = { notices: { limited: "rate limited", subprotocols: [subprotocol] } };
    const weir = await startLimiting(server.url, { ...dropping, route });
    const ann = await connectGraphqlClient(weir.url, { retryAttempts: 0 });
    askAll(ann, textsOf("limited", 10));
    await until("its end", () => ann.record.closes.length > 0);
    expect(ann.record.closes).toEqual([{ code: 4004, reason: expect.stringContaining("JSON") }]);
  });

  test("a notice that is one reaches it, and the connection goes on", async () => {
    const server = await startGraphqlServer();
    const text = '{"type":"pong","payload":{"retryAfterMs":{{retryAfterMs}}}}';
    const route = { notices: { limited: text, subprotocols: [subprotocol] } };
    const weir = await startLimiting(server.url, { ...dropping, route });
    const ann = await connectGraphqlClient(weir.url);
    const heard = hearNews(ann);
    await server.subscribers(1);
    askAll(ann, textsOf("limited", 10));
    await untilEqual("the number of notices", 1, () => ann.record.pongsReceived);
    expect(ann.record.messages).toContainEqual({
      type: MessageType.Pong,
      payload: { retryAfterMs: expect.any(Number) },
    });
    server.tell("still here");
    await untilEqual("the news", "still here", () => heard.at(-1));
    expect(ann.record).toMatchObject({ connected: 1, closes: [] });
  });
});

test("it subscribes again, at another Weir, when its own is shut down", async () => {
  const server = await startGraphqlServer();
  const [first, second] = [await startLimiting(server.url), await startLimiting(server.url)];
  const urls = [first.url, second.url];
  const ann = await connectGraphqlClient(() => urls.shift() ?? "");
  const heard = hearNews(ann);
  await server.subscribers(1);
  server.tell("from the first");
  await untilEqual("what was heard", 1, () => heard.length);
  await first.weir.drain();
  await untilEqual("the number of connections", 2, () => ann.record.connected);
  expect(ann.record.closes).toEqual([{ code: 1001, reason: "server shutting down" }]);
  const isFirstClosed = (): boolean => server.connections[0]?.socket.readyState === WebSocket.CLOSED;
  await until("the first connection is over at the server, too", isFirstClosed);
  await server.subscribers(1);
  server.tell("from the second");
  await untilEqual("what was heard", 2, () => heard.length);
  expect(heard).toEqual(["from the first", "from the second"]);
  await untilMetric(second.adminUrl, 1, "weir_connections");
});

test("it tries again where it was refused with 1013", async () => {
  const server = await startGraphqlServer();
  const options = { tier: { maxConnections: 1 }, limits: { rejectWith: "close" } };
  const weir = await startLimiting(server.url, options);
  const other = await openClient(weir.url, { protocols: subprotocol });
  const left = Promise.withResolvers<void>();
  const ann = createGraphqlClient(weir.url, { retryWait: () => left.promise });
  await until("it is refused", () => ann.record.closes.length > 0);
  await other.close();
  await untilMetric(weir.adminUrl, 0, "weir_connections");
  left.resolve();
  await untilEqual("the number of connections", 1, () => ann.record.connected);
  const answers = askAll(ann, ["served"]);
  await untilEqual("the number of answers", 1, () => answers.length);
  expect(answers).toEqual(["served"]);
  expect(ann.record.closes).toEqual([{ code: 1013, reason: "tier_full" }]);
});
