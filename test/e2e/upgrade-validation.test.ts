// RFC 6455 §4.2.1: what Weir asks of an upgrade before it asks anybody else.
import { describe, expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { scrape } from "../support/metrics.ts";
import { connectRaw, upgradeRequest, type UpgradeRequestOptions } from "../support/raw-client.ts";
import { readRefusal, refusalOf } from "../support/refusal.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

const key = "dGhlIHNhbXBsZSBub25jZQ==";
const usual = upgradeRequest({ key });

function withoutHeader(name: string, ...lines: string[]): string {
  return upgradeRequest({ key, omit: [name], lines });
}

function withLine(line: string): string {
  return upgradeRequest({ key, lines: [line] });
}

const malformed: readonly (readonly [what: string, request: string, message: string])[] = [
  ["POST", usual.replace("GET", "POST"), "the method of an upgrade must be GET"],
  ["OPTIONS", usual.replace("GET", "OPTIONS"), "the method of an upgrade must be GET"],
  ["HTTP/1.0", usual.replace("HTTP/1.1", "HTTP/1.0"), "an upgrade needs HTTP/1.1"],
  ["no Host", withoutHeader("Host"), "there must be one host"],
  ["an empty Host", withoutHeader("Host", "Host:"), "there must be one host"],
  ["two Hosts", withLine("Host: other"), "there must be one host"],
  ["the same Host twice", withLine("Host: localhost"), "there must be one host"],
  ["no key", withoutHeader("Sec-WebSocket-Key"), "there must be one sec-websocket-key, 16 bytes in base64"],
  [
    "two keys",
    withLine(`Sec-WebSocket-Key: ${key}`),
    "there must be one sec-websocket-key, 16 bytes in base64",
  ],
  ...["", "short==", `${key}==`, "!".repeat(22) + "==", "a".repeat(24), `${key}, ${key}`].map(
    (wrong) =>
      [
        `the key '${wrong}'`,
        upgradeRequest({ key: wrong }),
        "there must be one sec-websocket-key, 16 bytes in base64",
      ] as const,
  ),
  ["no version", withoutHeader("Sec-WebSocket-Version"), "there must be one sec-websocket-version"],
  ["two versions", withLine("Sec-WebSocket-Version: 13"), "there must be one sec-websocket-version"],
  ["a body by Content-Length", `${withLine("Content-Length: 5")}hello`, "an upgrade must not have a body"],
  [
    "a body by Transfer-Encoding",
    `${withLine("Transfer-Encoding: chunked")}5\r\nhello\r\n0\r\n\r\n`,
    "an upgrade must not have a transfer-encoding",
  ],
  [
    "a subprotocol that is no token",
    withLine("Sec-WebSocket-Protocol: a b"),
    "sec-websocket-protocol must be a list of tokens",
  ],
  [
    "an empty list of subprotocols",
    withLine("Sec-WebSocket-Protocol:"),
    "sec-websocket-protocol must be a list of tokens",
  ],
  [
    "a subprotocol twice",
    withLine("Sec-WebSocket-Protocol: a, b, a"),
    "sec-websocket-protocol repeats itself",
  ],
  [
    "a subprotocol twice, on two lines",
    upgradeRequest({ key, lines: ["Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a"] }),
    "sec-websocket-protocol repeats itself",
  ],
  [
    "a malformed extension",
    withLine("Sec-WebSocket-Extensions: a; =1"),
    "sec-websocket-extensions is malformed",
  ],
];

describe("an upgrade that RFC 6455 lets no server accept", () => {
  test("is refused with 400 bad_upgrade, and the socket is closed", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const bystander = await openBystander(weir.url);
    for (const [what, request, message] of malformed) {
      const refusal = await refusalOf(weir.url, request);
      expect
        .soft([refusal.status, refusal.code, refusal.message], what)
        .toEqual([400, "bad_upgrade", message]);
      expect.soft(refusal.head.header("connection"), what).toBe("close");
      expect.soft(refusal.head.header("content-type"), what).toBe("application/json");
      const isOurs = ({ fields }: { fields: Readonly<Record<string, unknown>> }) =>
        fields["reason"] === message;
      const { level, fields } = await weir.log.entry(what, isOurs);
      expect.soft([level, fields["code"], fields["address"]]).toEqual(["info", "bad_upgrade", "127.0.0.1"]);
    }
    expect(backend.upgrades).toHaveLength(1);
    expect(backend.requests).toEqual([]);
    await bystander.expectUnharmed();
    const metrics = await scrape(weir.adminUrl);
    const refused = { pool: "none", result: "bad_upgrade" };
    expect(metrics.sum("weir_upgrades_total", refused)).toBe(malformed.length);
    expect(weir.log.entries.filter(({ message }) => message === "upgrade refused")).toHaveLength(
      malformed.length,
    );
  });

  test("for its version is told which one is spoken, with 426", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const bystander = await openBystander(weir.url);
    for (const version of ["8", "0", "12", "14", "013", "+13", "13, 8", "thirteen"]) {
      const { status, code, head } = await refusalOf(weir.url, upgradeRequest({ version }));
      expect.soft([version, status, code]).toEqual([version, 426, "bad_upgrade"]);
      expect.soft(head.header("sec-websocket-version")).toBe("13");
      expect.soft(head.header("upgrade")).toBe("websocket");
      expect.soft(head.header("connection")).toBe("close, upgrade");
    }
    await weir.log.entry("a refused version", ({ fields }) => fields["code"] === "bad_upgrade");
    expect(backend.upgrades).toHaveLength(1);
    await bystander.expectUnharmed();
  });

  test("is answered once, whatever the client sends behind it", async () => {
    const backend = await startEchoBackend();
    const weir = await startInFrontOf(backend.url);
    const connection = await connectRaw(weir.url);
    const second = "GET /second HTTP/1.1\r\nHost: localhost\r\n\r\n";
    await connection.write(upgradeRequest({ version: "8" }) + second.repeat(100));
    expect((await readRefusal(connection)).status).toBe(426);
    expect(backend.requests).toEqual([]);
  });
});

// RFC 9110 §7.8: without `Connection: Upgrade`, the header Upgrade means nothing.
test("a request without Upgrade or Connection: Upgrade is plain HTTP", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const incomplete: UpgradeRequestOptions[] = [
    { omit: ["Connection"] },
    { omit: ["Connection"], lines: ["Connection: keep-alive"] },
    { omit: ["Upgrade"] },
  ];
  for (const options of incomplete) {
    const connection = await connectRaw(weir.url);
    await connection.write(upgradeRequest(options));
    expect((await connection.readHead()).status).toBe(200);
  }
  expect(backend.requests.map(({ headers }) => headers.upgrade)).toEqual([undefined, undefined, undefined]);
});
