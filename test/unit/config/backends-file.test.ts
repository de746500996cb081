// `backendsFile`: one pool out of two files, and errors that name the file they are in.

import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { formatProblem, loadConfig, type LoadResult, parseConfig } from "../../../src/config/load.ts";
import type { BackendConfig } from "../../../src/config/schema.ts";
import { edKeys } from "../../support/tokens.ts";

const LISTENERS = 'listeners: [":8080"]\n';

/** Files by absolute path; every other one is missing. */
type Files = Readonly<Record<string, string>>;

/** Loads `conf/weir.yaml` with this text, its pools in line 2. */
function load(pools: string, files: Files, env: Record<string, string> = {}): LoadResult {
  const byPath = new Map(Object.entries(files).map(([path, text]) => [resolve(path), text]));
  function readFile(path: string): string {
    const text = byPath.get(path);
    if (text === undefined) {
      throw Object.assign(new Error(`ENOENT: no such file or directory, open '${path}'`), { code: "ENOENT" });
    }
    return text;
  }
  return loadConfig({ text: LISTENERS + pools, file: "conf/weir.yaml", env, readFile });
}

function backendsOf(loaded: LoadResult, pool = "chat"): readonly BackendConfig[] {
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.errors));
  return loaded.config.pools[pool]?.backends ?? [];
}

function errorsOf(loaded: LoadResult): string[] {
  return loaded.ok ? [] : loaded.errors.map((problem) => formatProblem(problem));
}

const CHAT = "pools: { chat: { backendsFile: more.yaml } }";
const BOTH = 'pools: { chat: { backendsFile: more.yaml, backends: ["ws://a:1"] } }';

describe("the list", () => {
  test("stands behind the pool's own backends", () => {
    const more = '- ws://b:2\n- { id: third, url: "wss://c:3", weight: 5, capacity: 10 }\n';
    const backends = backendsOf(load(BOTH, { "conf/more.yaml": more }));
    expect(backends.map(({ id }) => id)).toEqual(["a:1", "b:2", "third"]);
    expect(backends[2]).toMatchObject({ url: "wss://c:3", weight: 5, capacity: 10 });
  });

  test("may be all there is", () => {
    expect(backendsOf(load(CHAT, { "conf/more.yaml": '["ws://b:2"]' }))).toHaveLength(1);
  });

  test("may be JSON, indented by tabs", () => {
    const more = JSON.stringify([{ url: "ws://b:2", weight: 3 }, "ws://c:3"], null, "\t");
    expect(backendsOf(load(CHAT, { "conf/more.yaml": more })).map(({ weight }) => weight)).toEqual([3, 1]);
  });

  test("may be without backends if it says so", () => {
    expect(backendsOf(load(CHAT, { "conf/more.yaml": "[]\n" }))).toEqual([]);
    expect(backendsOf(load(BOTH, { "conf/more.yaml": "[]\n" }))).toHaveLength(1);
  });

  test("is of its pool alone, and two pools may have the same", () => {
    const pools =
      'pools: { a: { backendsFile: more.yaml }, b: { backendsFile: more.yaml }, c: { backends: ["ws://c:3"] } }';
    const loaded = load(`${pools}\nroutes: [{ pool: a }]`, { "conf/more.yaml": "- ws://b:2" });
    expect(["a", "b", "c"].map((pool) => backendsOf(loaded, pool).map(({ id }) => id))).toEqual([
      ["b:2"],
      ["b:2"],
      ["c:3"],
    ]);
  });

  test("has the environment and secret files filled in", () => {
    const files = {
      "conf/lists/more.yaml": '- "ws://${HOST}:2"\n- "ws://${file:host.txt}:3"',
      "conf/lists/host.txt": "c\n",
    };
    const loaded = load("pools: { chat: { backendsFile: lists/more.yaml } }", files, { HOST: "b" });
    expect(backendsOf(loaded).map(({ id }) => id)).toEqual(["b:2", "c:3"]);
  });

  test("names files relative to its own place", () => {
    const more = '[{ url: "wss://b", tls: { ca: ca.crt } }, "unix:b.sock"]';
    const pools =
      'pools: { chat: { backendsFile: lists/more.yaml, backends: [{ url: "wss://a", tls: { ca: ca.crt } }] } }';
    const [own, first, second] = backendsOf(load(pools, { "conf/lists/more.yaml": more }));
    expect(own?.tls?.ca).toBe(resolve("conf/ca.crt"));
    expect(first?.tls?.ca).toBe(resolve("conf/lists/ca.crt"));
    expect(second?.target.socketPath).toBe(resolve("conf/lists/b.sock"));
  });

  test("is read for the library too, relative to its directory", () => {
    const config = { listeners: [":8080"], pools: { chat: { backendsFile: "no-such.yaml" } } };
    expect(errorsOf(parseConfig(config, "conf"))).toEqual([
      "pools.chat.backendsFile: conf/no-such.yaml cannot be read: no such file or directory",
    ]);
  });
});

describe("an error names the list's file, line and column", () => {
  const cases: [what: string, pools: string, more: string, ...errors: string[]][] = [
    [
      "a wrong value",
      CHAT,
      '- ws://b:2\n- { url: "ws://c:3", weight: 0 }',
      "more.yaml:2:30: [1].weight: 0 is not a whole number from 1 to 1000",
    ],
    [
      "behind backends of the pool's own",
      BOTH,
      '- ws://b:2\n- { url: "ws://c:3", wieght: 1 }',
      "more.yaml:2:22: [1].wieght: unknown key (did you mean weight?)",
    ],
    [
      "a wrong URL",
      BOTH,
      "- http://b:2",
      'more.yaml:1:3: [0]: "http://b:2" must begin with ws:// (plain HTTP requests take the same way)',
    ],
    ["a key that is missing", CHAT, "- { id: b }", "more.yaml:1:3: [0].url: is required"],
    [
      "a conflict",
      CHAT,
      '- { url: "ws://b:2", tls: { verify: off } }',
      "more.yaml:1:22: [0].tls: is for wss:// URLs only",
    ],
    [
      "a variable that is not set",
      CHAT,
      '- "ws://${HOST}:2"',
      "more.yaml:1:3: [0]: the environment variable HOST is not set; ${HOST:-default} gives it a default",
    ],
    [
      "broken syntax",
      CHAT,
      "- ws://b:2\n- { url: ws://c:3",
      "more.yaml:2:18: not YAML: flow map in block collection must be sufficiently indented and end with a }",
    ],
    ["a text that is cut", CHAT, '- "ws://b:2"\n- "ws://', 'more.yaml:2:9: not YAML: missing closing "quote'],
    [
      "a list that is none",
      CHAT,
      "backends: []",
      'more.yaml:1:1: a mapping is not a list of backends like ["ws://host:port"]',
    ],
    [
      "a text that is no list",
      CHAT,
      "ws://b:2",
      'more.yaml:1:1: "ws://b:2" is not a list of backends like ["ws://host:port"]',
    ],
    ["an empty file", CHAT, "", "more.yaml:1:1: is empty: write [] for a list without backends"],
    [
      "a file of comments",
      BOTH,
      "# later\n",
      "more.yaml:1:1: is empty: write [] for a list without backends",
    ],
    [
      "an id that is there twice",
      CHAT,
      "- ws://b:2\n- ws://b:2",
      'more.yaml:2:3: [1]: the id "b:2" is that of [0] already; give one of them an id of its own',
    ],
    [
      "an id that the pool itself has",
      BOTH,
      '- { id: "a:1", url: "ws://b:2" }',
      'more.yaml:1:9: [0].id: the id "a:1" is that of pools.chat.backends[0] already',
    ],
  ];
  test.each(cases)("%s", (_what, pools, more, ...errors) => {
    const found = errorsOf(load(pools, { "conf/more.yaml": more }));
    expect(found).toEqual(errors.map((error) => `conf/${error}`));
  });

  test("beside those of the configuration, which come first", () => {
    const pools = "pools: { chat: { backendsFile: more.yaml, retries: many } }\ntreads: 2";
    expect(errorsOf(load(pools, { "conf/more.yaml": "- 5\n- ws://b:2\n- ws://b:2" }))).toEqual([
      'conf/weir.yaml:2:52: pools.chat.retries: "many" is not a whole number from 0 to 100',
      "conf/weir.yaml:3:1: treads: unknown key (did you mean threads?)",
      'conf/more.yaml:1:3: [0]: 5 is neither a URL like "ws://host:port" nor a mapping with url',
      'conf/more.yaml:3:3: [2]: the id "b:2" is that of [1] already; give one of them an id of its own',
    ]);
  });

  test("once, however many pools have the file", () => {
    const pools =
      "pools: { a: { backendsFile: more.yaml }, b: { backendsFile: more.yaml } }\nroutes: [{ pool: a }]";
    expect(errorsOf(load(pools, { "conf/more.yaml": "- 5" }))).toHaveLength(1);
  });
});

test("errors may be more than a call takes arguments", () => {
  const errors = errorsOf(load(CHAT, { "conf/more.yaml": "- @x\n".repeat(130_000) }));
  expect(errors).toHaveLength(130_000);
  expect(errors.at(-1)).toBe("conf/more.yaml:130000:3: an unquoted value cannot begin with @: quote it");
});

describe("an error at the key backendsFile", () => {
  const missing = "cannot be read: no such file or directory";

  test("says that the file is missing", () => {
    expect(errorsOf(load(CHAT, {}))).toEqual([
      `conf/weir.yaml:2:32: pools.chat.backendsFile: conf/more.yaml ${missing}`,
    ]);
    expect(errorsOf(load("pools: { chat: { backendsFile: /nope.yaml } }", {}))).toEqual([
      `conf/weir.yaml:2:32: pools.chat.backendsFile: /nope.yaml ${missing}`,
    ]);
  });

  test("refuses what is no path", () => {
    const found = errorsOf(
      load('pools: { a: { backendsFile: 5 }, b: { backendsFile: "" } }\nroutes: [{ pool: a }]', {}),
    );
    expect(found.map((error) => error.replace(/^conf\/weir\.yaml:2:\d+: /, ""))).toEqual([
      "pools.a.backendsFile: 5 is not text: put it in quotes, or off",
      "pools.b.backendsFile: is empty; leave the key out or write off",
    ]);
  });
});

describe("the files that were read", () => {
  const tls = "tls: { ca: ca.crt, cert: c.crt, key: c.key }";

  test("are those that the configuration is made of, and no others", () => {
    const pools = `pools: { chat: { backendsFile: more.yaml, backends: [{ url: "wss://a", ${tls} }] } }
admin: { token: "\${file:token}" }
identity: { jwt: { publicKey: jwt.pem } }
pidFile: weir.pid
state: { file: state.json }`;
    const more = '- { id: "${file:id}", url: "wss://b", tls: { ca: other.crt } }';
    const loaded = load(pools, {
      "conf/more.yaml": more,
      "conf/token": "a long token",
      "conf/id": "b",
      "conf/jwt.pem": edKeys().publicPem,
    });
    const names = [
      "weir.yaml",
      "token",
      "more.yaml",
      "id",
      "jwt.pem",
      "ca.crt",
      "c.crt",
      "c.key",
      "other.crt",
    ];
    expect(loaded.ok).toBe(true);
    expect([...loaded.files.keys()]).toEqual(names.map((name) => resolve("conf", name)));
  });

  test("include those of a listener's TLS", () => {
    const loaded = loadConfig({
      text: 'listeners: [{ bind: ":1", tls: { certificates: [{ cert: a.crt, key: a.key }], clientCa: ca.crt } }]\npools: { a: { backends: ["ws://b"] } }',
      file: "/etc/weir/weir.yaml",
      env: {},
    });
    const names = ["weir.yaml", "a.crt", "a.key", "ca.crt"];
    expect([...loaded.files.keys()]).toEqual(names.map((name) => `/etc/weir/${name}`));
  });

  test("are named though the configuration is wrong, missing ones too", () => {
    const loaded = load(CHAT, {});
    expect([...loaded.files.keys()]).toEqual([resolve("conf/weir.yaml"), resolve("conf/more.yaml")]);
  });

  test("are known by what they hold, and hold it back", () => {
    const [first, same, other, missing] = ["- ws://b:2", "- ws://b:2", "- ws://c:2", null].map((more) =>
      load(CHAT, more === null ? {} : { "conf/more.yaml": more }).files.get(resolve("conf/more.yaml")),
    );
    expect(first).toBe(same);
    expect(new Set([first, other, missing]).size).toBe(3);
    expect(first).not.toContain("ws://");
  });
});
