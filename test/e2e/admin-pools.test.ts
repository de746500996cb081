// The admin API of pools: what it shows, and what it makes of requests that are wrong.
import { describe, expect, test } from "vitest";

import { startInFrontOf } from "../support/start-in-front.ts";
import type { StartedWeir } from "../support/start-weir.ts";
import { openClient } from "../support/ws-client.ts";
import { startEchoBackend } from "../support/echo-backend.ts";

const entry = { id: "a/b:1", url: "ws://127.0.0.1:1", weight: 3, capacity: 10 };
const path = `/api/pools/chat/backends/${encodeURIComponent(entry.id)}`;

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

async function send({ adminUrl }: StartedWeir, target: string, init: RequestInit = {}): Promise<Answer> {
  const answer = await fetch(adminUrl + target, init);
  return { status: answer.status, body: await answer.json() };
}

async function put(weir: StartedWeir, body: unknown, target = path): Promise<Answer> {
  return send(weir, target, { method: "PUT", body: typeof body === "string" ? body : JSON.stringify(body) });
}

async function stateOf(weir: StartedWeir): Promise<unknown> {
  const { body } = await send(weir, "/api/pools");
  return (body as { pools: { backends: unknown[] }[] }).pools[0]?.backends[0];
}

test("GET /api/pools shows each pool and backend as it is", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf([{ id: "up", url: backend.url, capacity: 5 }, entry], {
    pool: { balance: "round-robin", affinity: { by: "cookie" } },
  });
  await put(weir, { state: "draining" });
  await openClient(weir.url);
  const failures = { connect: 0, timeout: 0, malformed: 0, status: 0, lost: 0 };
  const usual = { up: true, ejected: false, listed: true, failures, roundTripMs: null };
  expect(await send(weir, "/api/pools")).toEqual({
    status: 200,
    body: {
      pools: [
        {
          name: "chat",
          balance: "round-robin",
          affinity: { by: "cookie", entries: 0 },
          waiting: 0,
          backends: [
            { id: "up", url: backend.url, state: "active", connections: 1, capacity: 5, weight: 1, ...usual },
            { ...entry, state: "draining", connections: 0, ...usual },
          ],
        },
      ],
    },
  });
});

describe("PUT /api/pools/POOL/backends/ID", () => {
  test("sets what it names, keeps what it leaves out, and takes null for what the file says", async () => {
    const weir = await startInFrontOf(entry);
    const answer = await put(weir, { weight: 7 });
    expect(answer).toMatchObject({
      status: 200,
      body: { id: "a/b:1", state: "active", weight: 7, capacity: 10 },
    });
    await put(weir, { capacity: 1, state: "down" });
    await put(weir, {});
    expect(await stateOf(weir)).toMatchObject({ state: "down", weight: 7, capacity: 1 });
    await put(weir, "");
    await put(weir, { weight: null, state: "active" });
    expect(await stateOf(weir)).toMatchObject({ state: "active", weight: 3, capacity: 1 });
  });

  const wrongBodies: readonly (readonly [what: string, body: string, message: string])[] = [
    ["no JSON", "{state:draining}", "the body is not JSON"],
    ["half of it", '{"state":', "the body is not JSON"],
    ["another kind of value", '"draining"', '"draining" is not an object'],
    ["a list", "[]", "a list is not an object"],
    ["an unknown state", '{"state":"drained"}', 'state: "drained" is not one of active, draining, down'],
    ["a null state", '{"state":null}', "state: nothing is not one of active, draining, down"],
    ["an unknown key", '{"wieght":2}', "unknown key wieght"],
    ["a weight of 0", '{"weight":0}', "weight: 0 is below 1"],
    ["a broken weight", '{"weight":1.5}', "weight: 1.5 is not a whole number"],
    ["a weight too large", '{"weight":1001}', "weight: 1001 is above 1000"],
    ["a weight as text", '{"weight":"2"}', 'weight: "2" is not a number'],
    ["a negative capacity", '{"capacity":-1}', "capacity: -1 is below 1"],
    ["a capacity that is no number", '{"capacity":"off"}', 'capacity: "off" is not a number'],
    ["one right and one wrong key", '{"state":"down","weight":-1}', "weight: -1 is below 1"],
    ["two wrong keys", '{"state":1,"weight":-1}', "; weight: -1 is below 1"],
  ];

  test("answers 400 to a body that is wrong, and changes nothing", async () => {
    const weir = await startInFrontOf(entry);
    const before = await stateOf(weir);
    for (const [what, body, message] of wrongBodies) {
      expect.soft(await put(weir, body), what).toMatchObject({
        status: 400,
        body: { error: "bad_request", message: expect.stringContaining(message) },
      });
    }
    expect(await stateOf(weir)).toEqual(before);
  });

  const wrongPaths: readonly (readonly [what: string, target: string, status: number, error: string])[] = [
    ["an unknown pool", path.replace("chat", "game"), 404, "not_found"],
    ["an unknown backend", path.replace("a%2F", "z%2F"), 404, "not_found"],
    ["names that every object has", "/api/pools/constructor/backends/__proto__", 404, "not_found"],
    ["broken escapes", "/api/pools/chat/backends/%E0%A4%A", 400, "bad_request"],
    ["a wait that is no time", `${path}?wait=soon`, 400, "bad_request"],
    ["a wait that is negative", `${path}?wait=-1s`, 400, "bad_request"],
  ];

  test("answers a path or a query that is wrong with what is wrong, and changes nothing", async () => {
    const weir = await startInFrontOf(entry);
    const before = await stateOf(weir);
    for (const [what, target, status, error] of wrongPaths) {
      const answer = await put(weir, { state: "down" }, target);
      expect.soft(answer, what).toMatchObject({ status, body: { error } });
    }
    expect(await stateOf(weir)).toEqual(before);
  });

  test("answers 413 to a body that is too large, and 405 to other methods", async () => {
    const weir = await startInFrontOf(entry);
    const body = JSON.stringify({ state: "down", weight: 1, padding: "x".repeat(1 << 20) });
    expect(await put(weir, body)).toMatchObject({ status: 413, body: { error: "too_large" } });
    for (const method of ["POST", "DELETE", "PATCH"]) {
      expect(await send(weir, path, { method })).toMatchObject({
        status: 405,
        body: { error: "method_not_allowed" },
      });
    }
    expect(await send(weir, "/api/pools", { method: "PUT", body: "{}" })).toMatchObject({ status: 405 });
    expect(await stateOf(weir)).toMatchObject({ state: "active" });
  });

  test("with ?wait= answers after that time where the backend is not empty", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(
      { id: "a", url: backend.url },
      { pool: { onRemove: { mode: "keep" } } },
    );
    const client = await openClient(weir.url);
    const target = "/api/pools/chat/backends/a";
    expect(await put(weir, { state: "draining" }, `${target}?wait=100ms`)).toMatchObject({
      status: 200,
      body: { state: "draining", connections: 1 },
    });
    const empty = put(weir, {}, `${target}?wait=1m`);
    await client.close(1000);
    expect(await empty).toMatchObject({ status: 200, body: { state: "draining", connections: 0 } });
  });
});
