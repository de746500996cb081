// What a command line asks for, and what is said of one that makes no sense.

import { describe, expect, test } from "vitest";
import { type Command, parseCommandLine, UsageError } from "../../src/command-line.ts";

function words(line: string): string[] {
  return line.split(" ").filter((word) => word !== "");
}

/** Nothing said of where the running Weir is. */
const nowhere = { admin: null, token: null, tokenFile: null };

const accepted: [line: string, command: Command][] = [
  ["run --config a.yaml", { name: "run", source: { kind: "file", file: "a.yaml" }, takesOver: false }],
  ["--config a.yaml", { name: "run", source: { kind: "file", file: "a.yaml" }, takesOver: false }],
  ["-c a.yaml", { name: "run", source: { kind: "file", file: "a.yaml" }, takesOver: false }],
  ["--config=a.yaml run", { name: "run", source: { kind: "file", file: "a.yaml" }, takesOver: false }],
  [
    "--listen :8080 --to ws://a --to ws://b",
    {
      name: "run",
      source: { kind: "arguments", listen: [":8080"], to: ["ws://a", "ws://b"], adminPort: 9347 },
      takesOver: false,
    },
  ],
  [
    "--listen :1 --to ws://a --admin-port 0",
    {
      name: "run",
      source: { kind: "arguments", listen: [":1"], to: ["ws://a"], adminPort: 0 },
      takesOver: false,
    },
  ],
  ["run -c a.yaml --takeover", { name: "run", source: { kind: "file", file: "a.yaml" }, takesOver: true }],
  ["check -c a.yaml", { name: "check", file: "a.yaml" }],
  ["schema", { name: "schema" }],
  ["demo", { name: "demo", port: 8080, adminPort: 9347 }],
  ["demo --port 0 --admin-port 1234", { name: "demo", port: 0, adminPort: 1234 }],
  ["--help", { name: "help" }],
  ["check -h", { name: "help" }],
  ["reload", { name: "reload", remote: nowhere }],
  ["drain chat/a", { name: "drain", remote: nowhere, backend: { pool: "chat", id: "a" }, waitMs: null }],
  [
    "drain chat/10.0.0.1:80 --wait",
    { name: "drain", remote: nowhere, backend: { pool: "chat", id: "10.0.0.1:80" }, waitMs: Infinity },
  ],
  [
    "drain --wait=5m chat//run/a.sock",
    { name: "drain", remote: nowhere, backend: { pool: "chat", id: "/run/a.sock" }, waitMs: 300_000 },
  ],
  [
    "activate chat/[::1]:80 --admin unix:/a --token-file t",
    {
      name: "activate",
      remote: { admin: "unix:/a", token: null, tokenFile: "t" },
      backend: { pool: "chat", id: "[::1]:80" },
    },
  ],
  ["status --json", { name: "status", remote: nowhere, json: true }],
  ["top --once --admin b", { name: "top", remote: { ...nowhere, admin: "b" }, once: true }],
  [
    "explain ws://a/b -H A:1 --header B:2 --from 10.0.0.1",
    {
      name: "explain",
      remote: nowhere,
      question: { url: "ws://a/b", headers: ["A:1", "B:2"], from: "10.0.0.1" },
      json: false,
    },
  ],
  [
    "tap --user ann --json",
    { name: "tap", remote: nowhere, only: { user: "ann", connection: null }, json: true },
  ],
  ["check -c a --against", { name: "check-against", file: "a", remote: nowhere }],
  ["reload --token x", { name: "reload", remote: { ...nowhere, token: "x" } }],
  ["--version", { name: "version" }],
  ["-v", { name: "version" }],
];

test.each(accepted)("weir %s", (line, command) => expect(parseCommandLine(words(line))).toEqual(command));

describe("refuses", () => {
  const refused: [line: string, message: string][] = [
    ["", "needs --config FILE, or --listen ADDRESS and --to URL"],
    ["run", "needs --config FILE, or --listen ADDRESS and --to URL"],
    ["chek -c a", "unknown command chek (did you mean check?)"],
    ["toString", "unknown command toString"],
    ["--confg a", "unknown option --confg (did you mean --config?)"],
    ["-x", "unknown option -x"],
    ["run -c", "--config needs a value"],
    ["run --config=", "--config needs a value"],
    ["run -c a -c b", "--config is there twice"],
    ["run -c a --to ws://b", "--config and --to exclude each other"],
    ["run -c a --admin-port 1", "--config and --admin-port exclude each other"],
    ["--listen :1 --to ws://a --takeover", "--takeover needs --config FILE, with a pidFile in it"],
    ["check -c a --takeover", "--takeover is not an option of check"],
    ["--listen :1", "--listen needs --to URL as well"],
    ["--to ws://a", "--to needs --listen ADDRESS as well"],
    ["check", "check needs --config FILE"],
    ["check a.yaml", "check takes no argument, but there is a.yaml"],
    ["schema -c a", "--config is not an option of schema"],
    ["demo --port x", "--port needs a port from 0 to 65535, not x"],
    ["demo --admin-port 65536", "--admin-port needs a port from 0 to 65535, not 65536"],
    ["--help=yes", "--help takes no value"],
    ["drain", "drain needs POOL/BACKEND"],
    ["drain chat", "chat is not POOL/BACKEND"],
    ["drain chat/", "chat/ is not POOL/BACKEND"],
    ["activate /a", "/a is not POOL/BACKEND"],
    ["drain a/b c/d", "drain takes one POOL/BACKEND, but there is c/d as well"],
    ["drain a/b --wait=soon", '--wait: "soon" is not a duration like 500ms, 30s, 5m or 1h'],
    ["check -c a --admin b", "--admin needs --against as well"],
    ["check --against", "check needs --config FILE"],
    ["explain", "explain needs URL"],
    ["tap", "tap needs --user USER or --connection ID"],
    ["tap --user a --connection b", "--user and --connection exclude each other"],
    ["reload --token a --token-file b", "--token and --token-file exclude each other"],
    ["reload --admin a --admin b", "--admin is there twice"],
    ["run -c a --admin b", "--admin is not an option of run"],
  ];
  test.each(refused)("weir %s", (line, message) => {
    expect(() => parseCommandLine(words(line))).toThrow(new UsageError(message));
  });
});
