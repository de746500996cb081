// What a configuration becomes: shorthands, defaults, derived values, paths.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { loadConfig, parseConfig } from "../../../src/config/load.ts";
import type { Config, ConfigInput } from "../../../src/config/schema.ts";

const SMALLEST = `
listeners: [":8080"]
pools:
  chat: { backends: ["ws://10.0.0.1:3000", "ws://10.0.0.2:3000"] }
`;

function load(text: string, env: Record<string, string> = {}): Config {
  const loaded = loadConfig({ text, file: "/etc/weir/weir.yaml", env });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors));
  return loaded.config;
}

/** The smallest configuration with further lines. */
function loadWith(lines: string): Config {
  return load(`${SMALLEST}\n${lines}`);
}

describe("the smallest file", () => {
  test("is enough, without a warning", () => {
    const loaded = loadConfig({ text: SMALLEST, file: "weir.yaml", env: {} });
    expect(loaded).toMatchObject({ ok: true, warnings: [] });
  });

  test("listens on all interfaces and sends everything to its pool", () => {
    const { listeners, routes, pools } = load(SMALLEST);
    expect(listeners.map(({ bind }) => bind)).toEqual([{ kind: "tcp", host: "", port: 8080, text: ":8080" }]);
    expect(routes).toHaveLength(1);
    expect(routes[0]).toMatchObject({
      id: "*/*",
      match: { host: null, path: null },
      pool: "chat",
      auth: "off",
    });
    expect(pools["chat"]?.backends.map(({ id }) => id)).toEqual(["10.0.0.1:3000", "10.0.0.2:3000"]);
    expect(pools["chat"]?.backends[0]).toMatchObject({ capacity: null, weight: 1, tls: null });
  });

  test("has the documented defaults, in plain units", () => {
    const config = load(SMALLEST);
    expect(config).toMatchObject({
      threads: "auto",
      trustedProxies: ["127.0.0.0/8", "::1/128"],
      clientIpHeader: "x-forwarded-for",
      identity: { user: [{ kind: "ip", name: "" }], tier: [], jwt: null, forwardAuth: null },
      tiers: { default: { maxConnections: null, messages: null, priority: "normal", default: true } },
      limits: { maxConnections: "auto", maxMessageSize: null, maxHeaderSize: 16_384, upgrades: null },
      timeouts: { handshake: 10_000, close: 2000, http: 120_000, keepAlive: 75_000, idle: null },
      shutdown: { readyDelay: 0, grace: 0, spread: 5000, timeout: 25_000 },
      reload: { watch: true, settle: 200, maxRemoved: 0.5 },
      state: null,
      pidFile: null,
      admin: { bind: { host: "127.0.0.1", port: 9347 }, token: null, hosts: [], anonymous: [] },
      log: { level: "info", format: "json", access: true },
      alerts: { errorRate: 0.05, roundTrip: 1000, memory: 0.8, eventLoopDelay: 100, webhook: null },
    });
    expect(config.pools["chat"]).toMatchObject({
      balance: "least-connections",
      affinity: { by: "user", ttl: 3_600_000 },
      retries: 2,
      retryOn: ["connect", "timeout", 503],
      connectTimeout: 3000,
      outlier: { failures: 5, window: 30_000, eject: 30_000 },
    });
  });

  test("is plain data that a worker can be sent", () => {
    const config = load(SMALLEST);
    expect(structuredClone(config)).toEqual(config);
  });
});

describe("the file with every key", () => {
  const text = readFileSync(new URL("every-key.yaml", import.meta.url), "utf8");

  test("loads without an error", () => {
    expect(loadConfig({ text, file: "weir.yaml", env: { JWT_SECRET: "x" } })).toMatchObject({ ok: true });
  });

  test("becomes plain units, absolute paths, and null for off", () => {
    const config = load(text, { JWT_SECRET: "from the environment" });
    expect(config.listeners[0]).toMatchObject({
      tls: {
        certificates: [{ cert: "/etc/weir/a.crt", key: "/etc/weir/a.key" }],
        clientCa: "/etc/weir/ca.crt",
        clientCert: "required",
      },
      proxyProtocol: false,
      healthPath: null,
    });
    expect(config.identity.jwt).toMatchObject({
      secret: "from the environment",
      publicKey: null,
      leeway: 5000,
    });
    expect(config.identity.user.map(({ kind }) => kind)).toEqual([
      "jwt",
      "header",
      "certificate",
      "cookie",
      "query",
      "ip",
    ]);
    expect(config.tiers["normal"]).toMatchObject({
      messages: { rate: 5, burst: 10 },
      bytes: { rate: 1_048_576, burst: 4_194_304 },
    });
    expect(config.routes[0]).toMatchObject({
      id: "*.example.com/play/*",
      auth: "required",
      messages: { rate: 20, burst: 40, onExceed: "drop" },
      requests: null,
    });
    expect(config.routes[1]).toMatchObject({ id: "*/*", auth: "required" });
    expect(config.pools["chat"]?.backends[1]).toEqual({
      id: "server2",
      url: "wss://chat.internal:8443/base",
      target: { secure: true, host: "chat.internal", port: 8443, socketPath: null, basePath: "/base" },
      capacity: null,
      weight: 1,
      tls: {
        ca: "/etc/weir/ca.crt",
        cert: "/etc/weir/c.crt",
        key: "/etc/weir/c.key",
        serverName: "x",
        verify: true,
      },
      proxyProtocol: false,
      resolve: "first",
    });
    expect(structuredClone(config)).toEqual(config);
  });
});

describe("shorthands", () => {
  test("a wss backend is verified unless it says otherwise", () => {
    const { pools } = load('{ listeners: [":1"], pools: { a: { backends: ["wss://b"] } } }');
    expect(pools["a"]?.backends[0]?.tls).toEqual({
      ca: null,
      cert: null,
      key: null,
      serverName: null,
      verify: true,
    });
  });

  test("a rate may be a string; its burst is then what a second brings, at least 1", () => {
    const { limits } = loadWith(
      "limits: { controlFrames: 2.5/s, perAddress: { upgrades: 6/m }, upgrades: 500/s }",
    );
    expect(limits.upgrades).toEqual({ rate: 500, burst: 500, queue: 10_000, timeout: 8_000 });
    expect(limits.controlFrames).toEqual({ rate: 2.5, burst: 3 });
    expect(limits.perAddress).toEqual({ connections: null, upgrades: { rate: 0.1, burst: 1 } });
  });

  test("off, and false, are none", () => {
    const { admin, timeouts, pools } = load(
      '{ listeners: [":1"], admin: off, timeouts: { ping: false }, pools: { a: { backends: ["ws://b"], affinity: off, healthCheck: off } } }',
    );
    expect(admin).toBeNull();
    expect(timeouts.ping).toBeNull();
    expect(pools["a"]?.affinity.by).toBe("none");
    expect(pools["a"]?.healthCheck).toBeNull();
  });

  test("switches are on, off, true or false, also as strings from the environment", () => {
    const text = `${SMALLEST}\nreload: { watch: "\${WATCH}" }\nlog: { access: on }\nthreads: "\${THREADS}"`;
    expect(load(text, { WATCH: "false", THREADS: "3" })).toMatchObject({
      reload: { watch: false },
      log: { access: true },
      threads: 3,
    });
  });

  test("a health check may be its type alone; what it expects may be a number or ranges", () => {
    const { pools } = load(
      `{ listeners: [":1"], pools: {
        a: { backends: ["ws://b"], healthCheck: websocket },
        b: { backends: ["ws://b"], healthCheck: { type: http, expect: 204 } },
        c: { backends: ["ws://b"], healthCheck: { type: http, path: /up, expect: "200-299, 401" } },
      }, routes: [{ pool: a }] }`,
    );
    expect(pools["a"]?.healthCheck).toMatchObject({ type: "websocket", interval: 5000, path: "/" });
    expect(pools["b"]?.healthCheck?.expect).toEqual([{ min: 204, max: 204 }]);
    expect(pools["c"]?.healthCheck).toMatchObject({
      path: "/up",
      expect: [
        { min: 200, max: 299 },
        { min: 401, max: 401 },
      ],
    });
  });
});

describe("derived values", () => {
  test("routes are named by what they match, repetitions by number", () => {
    const { routes } = loadWith(
      'routes: [{ pool: chat, match: { host: "A.example.com" } }, { pool: chat, match: { path: /x } }, { pool: chat, match: { path: /x } }, { pool: chat }]',
    );
    expect(routes.map(({ id }) => id)).toEqual(["a.example.com/*", "*/x", "*/x#2", "*/*"]);
  });

  test("a route without onExceed takes that of the limits", () => {
    const { routes } = loadWith(
      "limits: { onExceed: close }\nroutes: [{ pool: chat, messages: { rate: 1/s } }]",
    );
    expect(routes[0]?.messages).toEqual({ rate: 1, burst: 1, onExceed: "close" });
  });

  test("a route's messages may be a rate alone", () => {
    const { routes } = loadWith(
      "limits: { onExceed: drop }\nroutes: [{ pool: chat, messages: 5/s }, { pool: chat, messages: off }]",
    );
    expect(routes.map(({ messages }) => messages)).toEqual([{ rate: 5, burst: 5, onExceed: "drop" }, null]);
  });

  test("with jwt the user is its subject and credentials are required", () => {
    const { identity, routes } = loadWith("identity: { jwt: { secret: x } }");
    expect(identity.user).toEqual([
      { kind: "jwt", name: "sub" },
      { kind: "ip", name: "" },
    ]);
    expect(identity.jwt?.from).toEqual([{ kind: "bearer", name: "" }]);
    expect(routes[0]?.auth).toBe("required");
  });

  test("client certificates are required once there is a CA to check them", () => {
    const { listeners } = load(
      '{ listeners: [{ bind: ":1", tls: { certificates: [{ cert: a, key: b }], clientCa: c } }], pools: { a: { backends: ["ws://b"] } } }',
    );
    expect(listeners[0]?.tls?.clientCert).toBe("required");
  });

  test("names and patterns are lower case, prefixes without their last slash", () => {
    const { routes, admin, clientIpHeader } = loadWith(
      `clientIpHeader: X-Real-IP
admin: { hosts: [Weir.Internal, 10.0.0.5, "FD00::5", "[fd00::6]"] }
routes: [{ pool: chat, origins: ["https://Example.com", self], stripPrefix: /chat/, headers: { set: { X-A: b }, remove: [X-C] } }]`,
    );
    expect(clientIpHeader).toBe("x-real-ip");
    expect(admin?.hosts).toEqual(["weir.internal", "10.0.0.5", "[fd00::5]", "[fd00::6]"]);
    expect(routes[0]).toMatchObject({
      origins: ["https://example.com", "self"],
      stripPrefix: "/chat",
      headers: { set: { "x-a": "b" }, remove: ["x-c"] },
    });
  });

  test("a placeholder may have spaces within its braces", () => {
    const { routes } = loadWith(
      "routes: [{ pool: chat, notices: { limited: '{{ retryAfterMs }} of {{\u00a0retryAfterMs}}' } }]",
    );
    expect(routes[0]?.notices?.limited).toBe("{{retryAfterMs}} of {{retryAfterMs}}");
  });

  test("relative paths are relative to the file, sockets too", () => {
    const config = load(
      `listeners: ["unix:weir.sock"]
pidFile: run/weir.pid
state: { file: /var/lib/weir.json }
admin: { bind: "unix:admin.sock" }
pools: { a: { backends: ["unix:a.sock"] } }`,
    );
    expect(config.listeners[0]?.bind).toMatchObject({ kind: "unix", path: "/etc/weir/weir.sock" });
    expect(config.admin?.bind).toMatchObject({ path: "/etc/weir/admin.sock" });
    expect(config.pidFile).toBe("/etc/weir/run/weir.pid");
    expect(config.state?.file).toBe("/var/lib/weir.json");
    expect(config.pools["a"]?.backends[0]).toMatchObject({
      id: "a.sock",
      target: { socketPath: "/etc/weir/a.sock" },
    });
  });

  test("secrets are read from files beside the configuration", () => {
    const paths: string[] = [];
    const loaded = loadConfig({
      text: `${SMALLEST}\nadmin: { token: "\${file:token.txt}" }`,
      file: "/etc/weir/weir.yaml",
      env: {},
      readFile: (path) => {
        paths.push(path);
        return "a long token\n";
      },
    });
    expect(paths).toEqual(["/etc/weir/token.txt"]);
    expect(loaded).toMatchObject({ ok: true, config: { admin: { token: "a long token" } } });
  });

  test("anchors repeat a section", () => {
    const { tiers } = loadWith("tiers: { a: &a { maxConnections: 5 }, b: *a, c: { default: true } }");
    expect(tiers["b"]).toEqual(tiers["a"]);
  });
});

describe("a plain object", () => {
  const input: ConfigInput = {
    listeners: [":8080"],
    pools: { chat: { backends: ["ws://10.0.0.1:3000", "ws://10.0.0.2:3000"] } },
  };

  test("gives the same as the file", () => {
    const [files, fixedKeys] = [new Map(), new Map()];
    expect(parseConfig(input)).toEqual({ ok: true, config: load(SMALLEST), warnings: [], files, fixedKeys });
  });

  test("has problems without a place", () => {
    expect(parseConfig({ ...input, treads: 2 })).toEqual({
      ok: false,
      errors: [
        {
          file: null,
          line: null,
          column: null,
          path: "treads",
          message: "unknown key (did you mean threads?)",
        },
      ],
      warnings: [],
      files: new Map(),
    });
  });

  test("that was loaded before comes back as it is", () => {
    const config = load(SMALLEST);
    expect(parseConfig(config)).toEqual({
      ok: true,
      config,
      warnings: [],
      files: new Map(),
      fixedKeys: new Map(),
    });
  });

  test.each([undefined, null, 5, "x", [], () => 5])("%j is refused, not crashed on", (value) => {
    expect(parseConfig(value).ok).toBe(false);
  });

  test.each([[[Object.create(null)]], [[Symbol("x")]]])(
    "is refused, and nothing is thrown, with what cannot even be looked at: { length: %j }",
    (length) => {
      const loaded = parseConfig({ ...input, pidFile: { length } });
      expect(loaded.ok ? [] : loaded.errors.map(({ message }) => message)).toEqual([
        expect.stringMatching(/^has a value that a configuration cannot have: Cannot convert/),
      ]);
    },
  );
});
