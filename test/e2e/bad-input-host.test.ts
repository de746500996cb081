// Host confusion: routes go by the host, and backends build links, cache keys and password-reset mails
// from it. Two Hosts, or one that hides a user or a path, let an attacker be routed by one name and
// served under another. RFC 9112 §3.2 asks for 400.
import { expect, test } from "vitest";

import { openBystander } from "../support/bystander.ts";
import { startEchoBackend } from "../support/echo-backend.ts";
import { connectRaw, openRaw, upgradeRequest } from "../support/raw-client.ts";
import { expectRefusals } from "../support/refusal.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { DEFAULT_SECRET } from "../support/tokens.ts";

function get(lines: readonly string[], target = "/"): string {
  return [`GET ${target} HTTP/1.1`, ...lines, "", ""].join("\r\n");
}

const attacks = {
  "no Host": get([]),
  "an empty Host": get(["Host:"]),
  "two Hosts": get(["Host: a", "Host: b"]),
  "the same Host twice": get(["Host: a", "Host: a"]),
  "two Hosts, with other lines between": get(["Host: a", "X: 1", "HOST: b"]),
  "two Hosts behind HTTP/1.0": get(["Host: a", "Host: b"]).replace("HTTP/1.1", "HTTP/1.0"),
  "no Host, but an absolute target": get([], "http://a/"),
  "a user in the Host": get(["Host: good.example@evil.example"]),
  "a path in the Host": get(["Host: good.example/evil"]),
  "a backslash in the Host": get(["Host: good.example\\evil"]),
  "a query in the Host": get(["Host: good.example?evil"]),
  "a fragment in the Host": get(["Host: good.example#evil"]),
  "a list in the Host": get(["Host: good.example evil.example"]),
  "a port that is none": get(["Host: good.example:80:90"]),
  "a port in letters": get(["Host: good.example:evil"]),
  "an open bracket in the Host": get(["Host: [::1"]),
  "text behind the bracket": get(["Host: [::1]evil"]),
  "a user in an absolute target": get(["Host: a"], "http://good.example@evil.example/"),
  "a backslash in an absolute target": get(["Host: a"], "http://good.example\\evil.example/"),
  "an escape in the Host": get(["Host: %61dmin.example"]),
  "an encoded dot in the Host": get(["Host: admin%2eexample"]),
  "an escape in an absolute target": get(["Host: a"], "http://%61dmin.example/"),
  "characters that no name has in the Host": get(["Host: a;b=c"]),
  "nothing but a port in the Host": get(["Host: :80"]),
  "nothing but dots in the Host": get(["Host: .."]),
  "an empty label in the Host": get(["Host: admin.example.."]),
  "an empty Host of HTTP/1.0": get(["Host:"]).replace("HTTP/1.1", "HTTP/1.0"),
  "an absolute target without a host": get(["Host: a"], "http:///x"),
  "an absolute target with nothing but a port": get(["Host: a"], "http://:80/x"),
  "an upgrade for an escape": upgradeRequest({ host: "%61dmin.example" }),
  "an upgrade for an absolute target without a host": upgradeRequest({ path: "http:///x" }),
  "an upgrade for nothing but a port": upgradeRequest({ host: ":80" }),
  "an upgrade for a user": upgradeRequest({ host: "good.example@evil.example" }),
  "an upgrade for a path": upgradeRequest({ host: "good.example/evil" }),
};

test("a request with no Host, several, or a malformed one is answered 400", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const bystander = await openBystander(weir.url);
  await expectRefusals(weir, attacks, { status: 400, code: "bad_request" });
  expect(backend.upgrades).toHaveLength(1);
  expect(backend.requests).toEqual([]);
  await bystander.expectUnharmed();
});

// DNS writes a name with a dot at its end, browsers take it, and servers know the name with and without. And a
// backend that builds a URL of its Host reads `0x7f.1` as 127.0.0.1.
test("no spelling of a host passes by its route", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url, {
    config: {
      identity: { jwt: { secret: DEFAULT_SECRET } },
      routes: [
        { match: { host: "admin.example" }, pool: "chat" },
        { match: { host: "*.rooms.example." }, pool: "chat" },
        { match: { host: "127.0.0.1" }, pool: "chat" },
        { pool: "chat", auth: "off" },
      ],
    },
  });
  const names = ["admin.example", "admin.example.", "Admin.Example.:80", "a.rooms.example."];
  const addresses = ["127.0.0.1:80", "127.1", "0x7f.1", "2130706433", "0177.0.0.1."];
  for (const host of [...names, ...addresses]) {
    await expect(openRaw(weir.url, { host })).rejects.toThrow(/unauthorized/);
  }
  await openRaw(weir.url, { host: "other.example." });
  expect(backend.upgrades.map(({ headers }) => headers.host)).toEqual(["other.example."]);
});

test("names with underscores, in punycode and with ports are served", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const hosts = ["under_score", "xn--e1afmkfd.example", "a-b.example:8080", "127.0.0.1", "[::1]:80"];
  for (const host of hosts) await openRaw(weir.url, { host });
  expect(backend.upgrades.map(({ headers }) => headers.host)).toEqual(hosts);
});

test("a request of HTTP/1.0 without a Host gets the backend's own", async () => {
  const backend = await startEchoBackend();
  const weir = await startInFrontOf(backend.url);
  const connection = await connectRaw(weir.url);
  await connection.write("GET / HTTP/1.0\r\n\r\n");
  expect((await connection.readHead()).status).toBe(200);
  expect(backend.requests[0]?.headers.host).toBe(new URL(backend.url).host);
});
