// The relay and its ends where the backend is reached by TLS.
import { describe, expect, test } from "vitest";

import { makeCertificates, openssl } from "../support/certificates.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { opcodes } from "../support/frames.ts";
import { untilMetric } from "../support/metrics.ts";
import { openRaw } from "../support/raw-client.ts";
import { isMissing } from "../support/requirement.ts";
import { accept, type ScriptedBackend, startScriptedBackend } from "../support/scripted-backend.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";
import { openClient } from "../support/ws-client.ts";

const { binary } = opcodes;

function yaml(url: string, ca: string): string {
  return `
listeners: ["127.0.0.1:0"]
admin: { bind: "127.0.0.1:0" }
threads: 1
timeouts: { close: 60s, ping: off }
pools: { chat: { healthCheck: off, backends: [{ url: "${url}", tls: { ca: "${ca}" } }] } }`;
}

async function startSecureScripted(): Promise<{ server: ScriptedBackend; weir: StartedWeir }> {
  const tls = await makeCertificates();
  const server = await startScriptedBackend(accept(), { tls, allowHalfOpen: true });
  return { server, weir: await startWeir(yaml(server.url, tls.files.ca)) };
}

describe.skipIf(isMissing(openssl))("a wss backend", () => {
  test("echoes, large messages too, and its Close passes", async () => {
    const tls = await makeCertificates();
    const backend = await startEchoBackend({ tls });
    const { url } = await startWeir(yaml(backend.url, tls.files.ca));
    const client = await openClient(url);
    expect(await client.ask("who")).toBe("echo");
    await client.send(Buffer.alloc(8_000_000, 1));
    expect((await client.nextMessage()).data.equals(Buffer.alloc(8_000_000, 1))).toBe(true);
    (await backend.socket(0)).close(4001, "bye");
    expect(await client.closed()).toEqual({ code: 4001, reason: "bye" });
    expect(await backend.close(0)).toEqual({ code: 4001, reason: "bye" });
    const other = await openClient(url);
    expect(await other.close(4002, "bye too")).toEqual({ code: 4002, reason: "bye too" });
    expect(await backend.close(1)).toEqual({ code: 4002, reason: "bye too" });
  });

  test("sees 1006 when its client is gone, and its client 1012 when it is", async () => {
    const tls = await makeCertificates();
    const backend = await startEchoBackend({ tls });
    const weir = await startWeir(yaml(backend.url, tls.files.ca));
    const leaving = await openClient(weir.url);
    leaving.socket.terminate();
    expect((await backend.close(0)).code).toBe(1006);
    const staying = await openClient(weir.url);
    await backend.stop();
    expect(await staying.closed()).toEqual({ code: 1012, reason: "backend lost" });
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections");
  });

  test("that ends its stream behind its data: all of it arrives, then 1012", async () => {
    const { server, weir } = await startSecureScripted();
    const { connection: client } = await openRaw(weir.url);
    const backend = await server.connection(0);
    const payload = Buffer.alloc(2_000_000, 2);
    backend.socket.end(backend.encode({ opcode: binary, payload }));
    expect((await client.nextFrame()).payload.equals(payload)).toBe(true);
    expect(await client.nextClose()).toEqual({ code: 1012, reason: "backend lost" });
  });

  test("gets all that its client sent before it ended its stream", async () => {
    const { server, weir } = await startSecureScripted();
    const { connection: client } = await openRaw(weir.url);
    const backend = await server.connection(0);
    const frame = client.encode({ opcode: binary, payload: Buffer.alloc(2_000_000, 3) });
    client.socket.end(frame);
    expect((await backend.readToEnd()).equals(frame)).toBe(true);
    backend.finish();
    await untilMetric(weir.adminUrl, 0, "weir_backend_connections");
  });
});
