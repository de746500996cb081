// The admin server: liveness, readiness and metrics, for whoever may ask and for no web page.
import { describe, expect, test } from "vitest";

import { scrape } from "../support/metrics.ts";
import { connectRaw } from "../support/raw-client.ts";
import { startInFrontOf } from "../support/start-in-front.ts";
import { startWeir, type StartedWeir } from "../support/start-weir.ts";

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly head: string;
}

async function startAdmin(keys: Readonly<Record<string, unknown>> = {}): Promise<StartedWeir> {
  return startInFrontOf("ws://127.0.0.1:1", { config: { admin: { bind: "127.0.0.1:0", ...keys } } });
}

/** Asks the admin server, with exactly these header lines; the Host is its own address unless one is given. */
async function ask(
  weir: StartedWeir,
  path: string,
  lines: readonly string[] = [],
  method = "GET",
): Promise<Answer> {
  const connection = await connectRaw(weir.adminUrl);
  const host = lines.some((line) => /^host:/i.test(line)) ? [] : [`Host: ${new URL(weir.adminUrl).host}`];
  const request = [`${method} ${path} HTTP/1.1`, ...host, ...lines, "Connection: close", "", ""];
  await connection.write(request.join("\r\n"));
  const head = await connection.readHead();
  const body = (await connection.readToEnd()).toString();
  return { status: head.status, body, head: head.raw };
}

describe("the admin server", () => {
  test("answers /healthz and /readyz with 200, and other paths with 404", async () => {
    const weir = await startAdmin();
    expect(await ask(weir, "/healthz")).toMatchObject({ status: 200, body: expect.stringContaining("ok") });
    expect((await ask(weir, "/readyz")).status).toBe(200);
    expect((await ask(weir, "/readyz?verbose")).status).toBe(200);
    for (const path of ["/metric", "/metrics/", "/healthz/x", "/dashboard", "/dashboard/../server.ts"]) {
      const { status, body } = await ask(weir, path);
      expect([path, status]).toEqual([path, 404]);
      expect(body).toContain('"error":"not_found"');
    }
  });

  test("answers HEAD without a body and other methods with 405", async () => {
    const weir = await startAdmin();
    const { status, body } = await ask(weir, "/healthz", [], "HEAD");
    expect([status, body]).toEqual([200, ""]);
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      expect([method, (await ask(weir, "/metrics", [], method)).status]).toEqual([method, 405]);
    }
  });

  test("answers 404 to every method where there is nothing", async () => {
    const weir = await startAdmin();
    for (const method of ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"]) {
      for (const path of ["/nope", "/api/nope", "/dashboard/nope.js"]) {
        expect([method, path, (await ask(weir, path, [], method)).status]).toEqual([method, path, 404]);
      }
    }
  });

  test("lets no answer be stored or sniffed", async () => {
    const weir = await startAdmin();
    const { head } = await ask(weir, "/metrics");
    expect(head).toMatch(/^cache-control: no-store\r$/im);
    expect(head).toMatch(/^x-content-type-options: nosniff\r$/im);
    expect(head).toMatch(/^content-type: text\/plain; version=0\.0\.4/im);
  });

  test("is not ready from the drain on, while /healthz stays 200", async () => {
    const weir = await startAdmin();
    await weir.weir.drain();
    expect((await ask(weir, "/readyz")).status).toBe(503);
    expect((await ask(weir, "/healthz")).status).toBe(200);
    expect((await scrape(weir.adminUrl)).sum("weir_draining")).toBe(1);
  });

  test("is off with admin: off", async () => {
    const weir = await startWeir(
      `{ listeners: ["127.0.0.1:0"], threads: 1, admin: off, pools: { chat: { backends: ["ws://127.0.0.1:1"] } } }`,
    );
    expect(weir.weir.addresses.admin).toBeNull();
  });

  test("on IPv6 is asked by its address", async () => {
    const weir = await startAdmin({ bind: "[::1]:0" });
    expect(weir.adminUrl).toMatch(/^http:\/\/\[::1\]:\d+$/);
    expect((await ask(weir, "/metrics")).status).toBe(200);
  });
});

// DNS rebinding: a page's own host name is pointed at 127.0.0.1, so that the browser lets the page read
// what the admin server says. Its requests still carry that name.
describe("a foreign Host", () => {
  test("is answered 403, on every path", async () => {
    const weir = await startAdmin({ hosts: ["weir.internal"] });
    const hosts = [
      "evil.example",
      "evil.example:9347",
      "127.0.0.1.evil.example",
      "localhost.evil.example",
      "127.evil",
      "weir.internal.evil.example",
      "",
      // No address: whoever resolves names decides where they lead.
      "127.0.0.999",
      "127.0.0.01",
      "127.0.0.1.",
      "127.0.0.1:9347:1",
      "127.0.0.1:999999",
      "localhost:x",
      "user@localhost",
      "[::1]x",
      "::1",
      "localhost, evil.example",
    ];
    for (const host of hosts) {
      for (const path of ["/healthz", "/readyz", "/metrics", "/nowhere"]) {
        const { status, body } = await ask(weir, path, [`Host: ${host}`]);
        expect.soft([host, path, status]).toEqual([host, path, 403]);
        expect.soft(body).not.toContain("weir_");
      }
    }
  });

  test("is one of two, whichever comes first", async () => {
    const weir = await startAdmin();
    const own = `Host: ${new URL(weir.adminUrl).host}`;
    for (const lines of [
      [own, "Host: evil.example"],
      ["Host: evil.example", own],
      [own, own],
    ]) {
      const { status, body } = await ask(weir, "/metrics", lines);
      expect([lines, status]).toEqual([lines, 403]);
      expect(body).not.toContain("weir_");
    }
  });

  test("is no loopback name and none of admin.hosts", async () => {
    const weir = await startAdmin({ hosts: ["weir.internal", "10.0.0.5", "fd00::5"] });
    const hosts = [
      "localhost",
      "LOCALHOST:1",
      "127.0.0.1",
      "127.9.9.9:9347",
      "[::1]",
      "[::1]:9347",
      "Weir.Internal",
      "10.0.0.5:9347",
      "[FD00::5]:9347",
    ];
    for (const host of hosts) {
      expect.soft([host, (await ask(weir, "/metrics", [`Host: ${host}`])).status]).toEqual([host, 200]);
    }
  });
});

// A page of another site may send requests to loopback even where it cannot read the answers.
test("an Origin other than the Host is answered 403", async () => {
  const weir = await startAdmin();
  const { host } = new URL(weir.adminUrl);
  for (const origin of [
    "https://evil.example",
    "null",
    `http://${host}.evil`,
    "http://localhost:1",
    `ftp://${host}`,
  ]) {
    expect.soft([origin, (await ask(weir, "/metrics", [`Origin: ${origin}`])).status]).toEqual([origin, 403]);
  }
  for (const origin of [`http://${host}`, `https://${host}`]) {
    expect.soft([origin, (await ask(weir, "/metrics", [`Origin: ${origin}`])).status]).toEqual([origin, 200]);
  }
});

describe("with a token", () => {
  test("the metrics are answered 401 without it, and the probes stay open", async () => {
    const weir = await startAdmin({ token: "correct horse battery staple" });
    const wrong = [
      [],
      ["Authorization: Bearer"],
      ["Authorization: Bearer wrong"],
      ["Authorization: Bearer correct horse battery stapl"],
      ["Authorization: Basic correct horse battery staple"],
      ["Authorization: correct horse battery staple"],
      ["Cookie: token=correct horse battery staple"],
    ];
    for (const lines of wrong) {
      const { status, head, body } = await ask(weir, "/metrics", lines);
      expect.soft([lines, status]).toEqual([lines, 401]);
      expect.soft(head).toMatch(/^www-authenticate: Bearer\r$/im);
      expect.soft(body).not.toContain("staple");
    }
    expect((await ask(weir, "/elsewhere")).status).toBe(401);
    for (const path of ["/healthz", "/readyz"]) expect((await ask(weir, path)).status).toBe(200);
    for (const scheme of ["Bearer", "bearer"]) {
      const lines = [`Authorization: ${scheme} correct horse battery staple`];
      expect((await ask(weir, "/metrics", lines)).status).toBe(200);
      expect((await ask(weir, "/elsewhere", lines)).status).toBe(404);
    }
    expect(JSON.stringify(weir.log.entries)).not.toContain("staple");
  });

  test("a wrong one is logged, and however many come, the right one is let in", async () => {
    const weir = await startAdmin({ token: "a secret of the operator" });
    const guesses = Array.from({ length: 300 }, (_, i) =>
      ask(weir, "/api/pools", [`Authorization: Bearer guess ${i}`]),
    );
    const right = await ask(weir, "/api/pools", ["Authorization: Bearer a secret of the operator"]);
    expect(right.status).toBe(200);
    for (const { status } of await Promise.all(guesses)) expect(status).toBe(401);
    const entry = await weir.log.entry("the wrong token", ({ message }) => message.includes("wrong token"));
    expect(entry).toMatchObject({ level: "warn", fields: { address: "127.0.0.1" } });
    expect(JSON.stringify(weir.log.entries)).not.toContain("guess");
  });

  test("a foreign Host is refused even with it", async () => {
    const weir = await startAdmin({ token: "a secret of the operator" });
    const lines = ["Host: evil.example", "Authorization: Bearer a secret of the operator"];
    expect((await ask(weir, "/metrics", lines)).status).toBe(403);
  });

  test("anonymous: [metrics] opens the scrape, and nothing else", async () => {
    const weir = await startAdmin({ token: "a secret of the operator", anonymous: ["metrics"] });
    expect((await ask(weir, "/metrics")).status).toBe(200);
    expect((await ask(weir, "/elsewhere")).status).toBe(401);
  });
});
