// Lookups against this machine's own resolver, and TTLs against a name server on loopback.
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";

import { expect, test } from "vitest";

import { createLookup } from "../../../src/control-plane/name-lookup.ts";
import { onCleanup } from "../../support/cleanup.ts";

const types = { A: 1, AAAA: 28 } as const;

interface DnsRecord {
  readonly type: keyof typeof types;
  readonly address: string;
  readonly ttl: number;
}

/** Answers every query with the records of the type that it asks for; with none it stays silent. */
async function startNameServer(
  records: readonly DnsRecord[] | null,
): Promise<{ address: string; socket: Socket }> {
  const socket = createSocket("udp4");
  socket.on("message", (query, { port, address }) => {
    if (records !== null) socket.send(answerTo(query, records), port, address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  onCleanup("the name server", async () => {
    socket.close();
    await once(socket, "close");
  });
  return { address: `127.0.0.1:${socket.address().port}`, socket };
}

/** RFC 1035 §4: the query's header and question, and the answers, which name it by a pointer. */
function answerTo(query: Buffer, records: readonly DnsRecord[]): Buffer {
  const question = query.subarray(12, query.indexOf(0, 12) + 5);
  const type = question.readUInt16BE(question.length - 4);
  const answers = records.filter((record) => types[record.type] === type).map(encode);
  const header = Buffer.alloc(12);
  header.writeUInt16BE(query.readUInt16BE(0), 0);
  header.writeUInt16BE(0x8180, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers.length, 6);
  return Buffer.concat([header, question, ...answers]);
}

function encode({ type, address, ttl }: DnsRecord): Buffer {
  const data = type === "A" ? Buffer.from(address.split(".").map(Number)) : Buffer.from(address, "hex");
  const head = Buffer.alloc(12);
  head.writeUInt16BE(0xc00c, 0);
  head.writeUInt16BE(types[type], 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt32BE(ttl, 6);
  head.writeUInt16BE(data.length, 10);
  return Buffer.concat([head, data]);
}

async function ttlOf(records: readonly DnsRecord[], addresses: readonly string[]): Promise<number | null> {
  const server = await startNameServer(records);
  return createLookup([server.address]).ttlOf("chat.example", addresses, new AbortController().signal);
}

test("the system knows localhost, each address once", async () => {
  const addresses = await createLookup().addressesOf("localhost");
  expect(["127.0.0.1", "::1"]).toContain(addresses[0]);
  expect(new Set(addresses).size).toBe(addresses.length);
});

test("a name that nobody knows rejects", async () => {
  // RFC 6761 §6.4: never exists.
  await expect(createLookup().addressesOf("backend.invalid")).rejects.toHaveProperty("code");
});

test("the shortest TTL of the addresses counts, of both families, in milliseconds", async () => {
  const records: DnsRecord[] = [
    { type: "A", address: "192.0.2.1", ttl: 60 },
    { type: "A", address: "192.0.2.2", ttl: 20 },
    { type: "A", address: "192.0.2.3", ttl: 5 },
    { type: "AAAA", address: "20010db8000000000000000000000001", ttl: 10 },
  ];
  expect(await ttlOf(records, ["192.0.2.1", "192.0.2.2"])).toBe(20_000);
  expect(await ttlOf(records, ["192.0.2.1", "2001:db8::1"])).toBe(10_000);
});

test("addresses that DNS does not give have no TTL", async () => {
  const records: DnsRecord[] = [{ type: "A", address: "192.0.2.1", ttl: 60 }];
  expect(await ttlOf(records, ["192.0.2.1", "192.0.2.9"])).toBeNull();
  expect(await ttlOf([], ["192.0.2.1"])).toBeNull();
});

test("a name without a dot is not asked for", async () => {
  const server = await startNameServer(null);
  const lookup = createLookup([server.address]);
  expect(await lookup.ttlOf("localhost", ["127.0.0.1"], new AbortController().signal)).toBeNull();
});

test("a name server that does not answer is given up on the signal", async () => {
  const server = await startNameServer(null);
  const abort = new AbortController();
  const asked = once(server.socket, "message");
  const ttl = createLookup([server.address]).ttlOf("chat.example", ["192.0.2.1"], abort.signal);
  await asked;
  abort.abort();
  expect(await ttl).toBeNull();
});
