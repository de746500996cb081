// A configuration that is sent to be compared gives no secret away, and compares as the bare one does.

import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { compareConfigs } from "../../../src/config/changes.ts";
import { loadConfig } from "../../../src/config/load.ts";
import type { Config } from "../../../src/config/schema.ts";
import { parseVeiled, veil } from "../../../src/config/veil.ts";

const SALT = "a-salt-that-is-long-enough";

function configOf(text: string): Config {
  const loaded = loadConfig({ text, file: "weir.yaml", env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors));
  return loaded.config;
}

/** Every place where text of a person's own may stand. */
const SECRETS = `
listeners: [":8080"]
admin: { bind: "127.0.0.1:9347", token: "SECRET-admin-token" }
identity:
  jwt: { secret: "SECRET-jwt-0123456789-0123456789-0123456789", issuer: "SECRET-issuer", audience: "SECRET-audience" }
  forwardAuth: { url: "http://auth/SECRET", userHeader: X-User }
routes:
  - pool: chat
    headers: { set: { X-Key: "SECRET-header" } }
    notices: { limited: "SECRET-notice" }
pools:
  chat:
    healthCheck: { type: http, path: /, headers: { Authorization: "SECRET-check" } }
    backends: [{ id: server1, url: "ws://10.0.0.1:3000" }]
alerts: { webhook: "http://hooks/SECRET" }
`;

test("text that may be a secret is not in it", () => {
  const text = JSON.stringify(veil(configOf(SECRETS), SALT));
  expect(JSON.stringify(configOf(SECRETS)).match(/SECRET/g)?.length).toBeGreaterThanOrEqual(8);
  expect(text).not.toContain("SECRET");
  expect(text).toContain("ws://10.0.0.1:3000");
  expect(text).toContain("server1");
});

test("a secret's digest depends on the salt", () => {
  const [one, other] = [SALT, `${SALT}2`].map((salt) => veil(configOf(SECRETS), salt).config.admin?.token);
  expect(one).not.toBe(other);
});

test("two that are veiled with one salt compare as they would bare", () => {
  const before = configOf(SECRETS);
  const after = configOf(
    SECRETS.replace("SECRET-admin-token", "another-token")
      .replace('X-Key: "SECRET-header"', 'X-Key: "SECRET-other"')
      .replace("id: server1", "id: server2")
      .replace(":8080", ":8081"),
  );
  const comparison = compareConfigs(before, after);
  expect(comparison.changes.map(({ path }) => path)).toEqual([
    "listeners[0].bind",
    'routes["*/*"].headers.set.x-key',
    "pools.chat.backends",
    "admin.token",
  ]);
  expect(compareConfigs(veil(before, SALT).config, veil(after, SALT).config)).toEqual(comparison);
  expect(compareConfigs(veil(before, SALT).config, veil(before, SALT).config)).toEqual({
    changes: [],
    removals: [],
    fixedKeys: [],
  });
});

test("the example passes for one, over the wire", () => {
  const file = new URL("../../../config.example.yaml", import.meta.url);
  const loaded = loadConfig({ text: readFileSync(file, "utf8"), file: file.pathname, env: {} });
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors));
  const sent = veil(loaded.config, SALT);
  expect(parseVeiled(JSON.parse(JSON.stringify(sent)))).toEqual(sent);
});

test.each([
  null,
  {},
  { salt: "short", config: veil(configOf(SECRETS), SALT).config },
  { salt: SALT, config: {} },
  { salt: SALT, config: { listeners: [], admin: null, pools: { chat: { backends: [{}] } } } },
  { salt: SALT, config: { listeners: [1], admin: null, pools: {} } },
])("%j is none", (value) => expect(parseVeiled(value)).toBeNull());
