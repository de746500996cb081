// A page in a real Chromium, through Weir to several backends: what its WebSockets send, receive, and
// are told at their end.
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import type { WebSocket as ServerSocket } from "ws";

import { chromium, launchChromium } from "../support/chromium.ts";
import { type EchoBackend, startEchoBackend } from "../support/echo-backend.ts";
import { encodeFrame, opcodes } from "../support/frames.ts";
import { relayYaml } from "../support/relay.ts";
import { isMissing } from "../support/requirement.ts";
import { spawnWeir } from "../support/spawn-weir.ts";
import { until } from "../support/until.ts";

interface PageClose {
  readonly code: number;
  readonly reason: string;
  readonly wasClean: boolean;
}

test.skipIf(isMissing(chromium))(
  "a page in Chromium talks to several backends and learns how each connection ends",
  async () => {
    const compression = { perMessageDeflate: { threshold: 0 } };
    const ids = ["first", "second", "third"];
    const backends = await Promise.all(ids.map((id) => startEchoBackend({ id, ws: compression })));
    const yaml = relayYaml(
      backends.map(({ url }) => url),
      "threads: 2",
    );
    const weir = await spawnWeir(yaml);
    const page = await (await launchChromium()).newPage();
    // The page comes through Weir too, from one of the backends.
    await page.goto(weir.httpUrl);

    expect((await whoAnswers(page, weir.url, 3)).toSorted()).toEqual(ids);
    await expectEchoes(page, weir.url);
    await expectEnds(page, weir.url, backends);

    const path = "/at-shutdown";
    const closed = untilClosed(page, weir.url + path);
    await socketOf(backends, path);
    weir.signal("SIGTERM");
    expect(await closed).toEqual({ code: 1001, reason: "server shutting down", wasClean: true });
    expect(await weir.exited()).toEqual({ code: 0, signal: null });
  },
);

/** Opens that many WebSockets at once, asks each for its backend, and closes them. */
async function whoAnswers(page: Page, url: string, count: number): Promise<string[]> {
  return page.evaluate(
    async ([url, count]: [string, number]) => {
      const sockets = Array.from({ length: count }, () => new WebSocket(url));
      const answers = sockets.map((socket) => {
        socket.addEventListener("open", () => socket.send("who"));
        return new Promise<string>((resolve, reject) => {
          socket.addEventListener("message", ({ data }) => resolve(String(data)));
          socket.addEventListener("close", reject);
        });
      });
      const names = await Promise.all(answers);
      for (const socket of sockets) socket.close();
      return names;
    },
    [url, count] as [string, number],
  );
}

/** Text, ArrayBuffers and Blobs, all of them compressed, come back as they were sent. */
async function expectEchoes(page: Page, url: string): Promise<void> {
  const seen = await page.evaluate(async (url) => {
    const socket = new WebSocket(url);
    const next = (): Promise<MessageEvent> =>
      new Promise((resolve, reject) => {
        socket.addEventListener("message", resolve, { once: true });
        socket.addEventListener("close", reject, { once: true });
      });
    await new Promise((resolve) => socket.addEventListener("open", resolve));
    const text = "grüße ".repeat(30_000);
    socket.send(text);
    const { data } = await next();
    const binary = new Uint8Array(200_000).map((_, index) => index % 251);
    socket.binaryType = "arraybuffer";
    socket.send(binary);
    const array = new Uint8Array((await next()).data as ArrayBuffer);
    socket.binaryType = "blob";
    socket.send(new Blob([binary]));
    const blob = new Uint8Array(await ((await next()).data as Blob).arrayBuffer());
    socket.close();
    return {
      extensions: socket.extensions,
      isTextTheSame: data === text,
      lengths: [array.length, blob.length],
      wrongBytes: [array, blob].map((bytes) => bytes.filter((byte, index) => byte !== binary[index]).length),
    };
  }, url);
  expect(seen).toEqual({
    extensions: "permessage-deflate",
    isTextTheSame: true,
    lengths: [200_000, 200_000],
    wrongBytes: [0, 0],
  });
}

/** Every end that a page can tell from another. */
async function expectEnds(page: Page, url: string, backends: readonly EchoBackend[]): Promise<void> {
  const ends: Readonly<Record<string, [(socket: ServerSocket) => void, PageClose]>> = {
    "/normal": [(socket) => socket.close(1000, "done"), { code: 1000, reason: "done", wasClean: true }],
    "/own-code": [(socket) => socket.close(4001, "own"), { code: 4001, reason: "own", wasClean: true }],
    "/empty": [(socket) => socket.close(), { code: 1005, reason: "", wasClean: true }],
    "/lost": [(socket) => socket.terminate(), { code: 1012, reason: "backend lost", wasClean: true }],
    "/cut-in-a-frame": [cutInAFrame, { code: 1006, reason: "", wasClean: false }],
  };
  for (const [path, [end, expected]] of Object.entries(ends)) {
    const closed = untilClosed(page, url + path);
    end(await socketOf(backends, path));
    expect(await closed).toEqual(expected);
  }

  await page.evaluate((url) => {
    const socket = new WebSocket(url);
    socket.addEventListener("open", () => socket.close(4002, "the page"));
  }, `${url}/by-the-page`);
  await until("the page's Close at its backend", () =>
    backends.some(({ closes }) => closes.some(({ code, reason }) => code === 4002 && reason === "the page")),
  );
}

/** Opens a WebSocket in the page; its close event, once it comes. */
async function untilClosed(page: Page, url: string): Promise<PageClose> {
  return page.evaluate(async (url) => {
    const closed = Promise.withResolvers<PageClose>();
    new WebSocket(url).addEventListener("close", ({ code, reason, wasClean }) => {
      closed.resolve({ code, reason, wasClean });
    });
    return closed.promise;
  }, url);
}

/** The backend's end of the connection with this path, whichever backend got it. */
async function socketOf(backends: readonly EchoBackend[], path: string): Promise<ServerSocket> {
  return until(`a backend's connection for ${path}`, () => {
    for (const { upgrades, sockets } of backends) {
      const index = upgrades.findIndex(({ url }) => url === path);
      if (index !== -1) return sockets[index];
    }
    return undefined;
  });
}

/** Past `ws`, which sends whole frames only. */
function cutInAFrame(socket: ServerSocket): void {
  const part = encodeFrame({ opcode: opcodes.binary, payload: "part", declaredLength: 100 });
  const { _socket: stream } = socket as unknown as { readonly _socket: { end(bytes: Buffer): void } };
  stream.end(part);
}
