// A path that servers hand to one another: always somebody's, and removed by nobody else.
import { existsSync, readdirSync, statSync } from "node:fs";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";
import { expect, test } from "vitest";

import { isServed, listenAtPath, listenFor } from "../../src/unix-socket.ts";
import { onCleanup, temporaryFolder } from "../support/cleanup.ts";

function newServer(): Server {
  const server = createServer((socket) => socket.destroy());
  onCleanup("a server", () => void server.close());
  return server;
}

const pathIn = async (): Promise<string> => join(await temporaryFolder(), "weir.sock");

test("nobody is at a path before publish", async () => {
  const path = await pathIn();
  const socket = await listenFor(newServer(), path);
  expect(await isServed(path)).toBe(false);
  await socket.publish();
  await socket.publish();
  expect(await isServed(path)).toBe(true);
  expect(await readdir(dirname(path))).toEqual(["weir.sock"]);
});

test("who is replaced removes nothing, neither does its server's end", async () => {
  const path = await pathIn();
  const old = newServer();
  const oldSocket = await listenAtPath(old, path);
  const socket = await listenAtPath(newServer(), path);
  await oldSocket.remove();
  await new Promise((resolve) => old.close(resolve));
  expect(await isServed(path)).toBe(true);
  await socket.remove();
  expect(existsSync(path)).toBe(false);
});

test("a path is removed once: what is there later is another's", async () => {
  const path = await pathIn();
  const old = newServer();
  const oldSocket = await listenAtPath(old, path);
  await oldSocket.remove();
  await new Promise((resolve) => old.close(resolve));
  await listenAtPath(newServer(), path);
  await oldSocket.remove();
  expect(await isServed(path)).toBe(true);
});

test("what is left of a crash is replaced, what is no socket is not", async () => {
  const path = await pathIn();
  await writeFile(path, "precious");
  await expect(listenAtPath(newServer(), path)).rejects.toMatchObject({ code: "EEXIST" });
  expect(await readFile(path, "utf8")).toBe("precious");
  expect(await isServed(path)).toBe(false);
});

test("a mode keeps others out from the beginning", async () => {
  const path = await pathIn();
  const umask = process.umask(0);
  onCleanup("the umask", () => void process.umask(umask));
  const server = newServer();
  const modes: number[] = [];
  server.once("listening", () => {
    for (const name of readdirSync(dirname(path)))
      modes.push(statSync(join(dirname(path), name)).mode & 0o777);
  });
  await listenAtPath(server, path, 0o600);
  expect(modes).toEqual([0o600]);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect(process.umask()).toBe(0);
});
