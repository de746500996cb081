// What a command line asks for. Refuses what it does not know, with a suggestion; does nothing itself.

import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import type { BackendName, RemoteCommand, RemoteOptions, TapFilter } from "./commands/remote-command.ts";
import { didYouMean } from "./config/suggest.ts";
import { parseDuration, UnitError } from "./config/units.ts";

export type Command =
  | { readonly name: "run"; readonly source: ConfigSource; readonly takesOver: boolean }
  | { readonly name: "check"; readonly file: string }
  | { readonly name: "demo"; readonly port: number; readonly adminPort: number }
  | { readonly name: "schema" | "help" | "version" }
  | RemoteCommand;

/** Where the configuration comes from. */
export type ConfigSource =
  | { readonly kind: "file"; readonly file: string }
  | {
      readonly kind: "arguments";
      readonly listen: readonly string[];
      readonly to: readonly string[];
      readonly adminPort: number;
    };

/** The command line makes no sense; `message` is for who wrote it. */
export class UsageError extends Error {
  override name = "UsageError";
}

const DEMO_PORT = 8080;
const ADMIN_PORT = 9347;

const OPTIONS = {
  config: { type: "string", short: "c" },
  listen: { type: "string", multiple: true },
  to: { type: "string", multiple: true },
  port: { type: "string" },
  "admin-port": { type: "string" },
  against: { type: "boolean" },
  admin: { type: "string" },
  token: { type: "string" },
  "token-file": { type: "string" },
  json: { type: "boolean" },
  once: { type: "boolean" },
  wait: { type: "boolean" },
  takeover: { type: "boolean" },
  user: { type: "string" },
  connection: { type: "string" },
  header: { type: "string", short: "H", multiple: true },
  from: { type: "string" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "v" },
} as const satisfies ParseArgsOptionsConfig;

type OptionName = keyof typeof OPTIONS;

/** Those that may stand alone or have a value behind a `=`. */
const WITH_OR_WITHOUT_VALUE: ReadonlySet<OptionName> = new Set(["wait"]);

const REMOTE = ["admin", "token", "token-file"] as const;

interface CommandShape {
  readonly options: readonly OptionName[];
  /** The one argument that it takes, as the help calls it. */
  readonly operand?: string;
}

const COMMANDS: Readonly<Record<string, CommandShape>> = {
  run: { options: ["config", "listen", "to", "admin-port", "takeover"] },
  check: { options: ["config", "against", ...REMOTE] },
  demo: { options: ["port", "admin-port"] },
  schema: { options: [] },
  status: { options: ["json", ...REMOTE] },
  top: { options: ["once", ...REMOTE] },
  tap: { options: ["user", "connection", "json", ...REMOTE] },
  explain: { options: ["header", "from", "json", ...REMOTE], operand: "URL" },
  drain: { options: ["wait", ...REMOTE], operand: "POOL/BACKEND" },
  activate: { options: [...REMOTE], operand: "POOL/BACKEND" },
  reload: { options: [...REMOTE] },
};

/** Every value that an option was given, in order; empty for an option that is not there. */
type Values = Readonly<Record<OptionName, readonly string[]>>;

/** @throws UsageError */
export function parseCommandLine(args: readonly string[]): Command {
  const { words, values } = readArguments(args);
  if (values.help.length > 0) return { name: "help" };
  if (values.version.length > 0) return { name: "version" };
  const [command = "run", ...operands] = words;
  const shape = Object.hasOwn(COMMANDS, command) ? COMMANDS[command] : undefined;
  if (shape === undefined) {
    throw new UsageError(`unknown command ${command}${didYouMean(command, Object.keys(COMMANDS))}`);
  }
  for (const option of optionNames()) {
    const isForeign = values[option].length > 0 && !shape.options.includes(option);
    if (isForeign) throw new UsageError(`--${option} is not an option of ${command}`);
  }
  return toCommand(command, values, operandOf(command, shape, operands));
}

/** Empty where the command takes none. */
function operandOf(command: string, { operand }: CommandShape, words: readonly string[]): string {
  const [first, surplus] = words;
  if (operand === undefined) {
    return first === undefined ? "" : fail(`${command} takes no argument, but there is ${first}`);
  }
  if (surplus !== undefined) fail(`${command} takes one ${operand}, but there is ${surplus} as well`);
  return first === undefined || first === "" ? fail(`${command} needs ${operand}`) : first;
}

function toCommand(command: string, values: Values, operand: string): Command {
  switch (command) {
    case "check":
      return checkCommand(values);
    case "demo":
      return {
        name: "demo",
        port: portNumber("port", values, DEMO_PORT),
        adminPort: portNumber("admin-port", values, ADMIN_PORT),
      };
    case "schema":
      return { name: "schema" };
    case "run":
      return runCommand(values);
    default:
      return remoteCommand(command, values, operand);
  }
}

function remoteCommand(command: string, values: Values, operand: string): RemoteCommand {
  const remote = remoteOptions(values);
  switch (command) {
    case "status":
      return { name: "status", remote, json: values.json.length > 0 };
    case "top":
      return { name: "top", remote, once: values.once.length > 0 };
    case "tap":
      return { name: "tap", remote, only: tapFilter(values), json: values.json.length > 0 };
    case "explain": {
      const question = { url: operand, headers: values.header, from: single("from", values) };
      return { name: "explain", remote, question, json: values.json.length > 0 };
    }
    case "drain":
      return { name: "drain", remote, backend: backendName(operand), waitMs: waitMs(values) };
    case "activate":
      return { name: "activate", remote, backend: backendName(operand) };
    case "reload":
      return { name: "reload", remote };
    default:
      throw new Error(`${command} has no meaning`);
  }
}

function checkCommand(values: Values): Command {
  const file = single("config", values) ?? fail("check needs --config FILE");
  if (values.against.length > 0) return { name: "check-against", file, remote: remoteOptions(values) };
  const surplus = REMOTE.find((option) => values[option].length > 0);
  return surplus === undefined ? { name: "check", file } : fail(`--${surplus} needs --against as well`);
}

function remoteOptions(values: Values): RemoteOptions {
  const token = single("token", values);
  const tokenFile = single("token-file", values);
  if (token !== null && tokenFile !== null) fail("--token and --token-file exclude each other");
  return { admin: single("admin", values), token, tokenFile };
}

function tapFilter(values: Values): TapFilter {
  const only = { user: single("user", values), connection: single("connection", values) };
  if (only.user !== null && only.connection !== null) fail("--user and --connection exclude each other");
  if (only.user === null && only.connection === null) fail("tap needs --user USER or --connection ID");
  return only;
}

/** A pool's name has no slash, the id of a backend may: that of a Unix socket is its path. */
function backendName(text: string): BackendName {
  const slash = text.indexOf("/");
  const [pool, id] = [text.slice(0, slash), text.slice(slash + 1)];
  return slash > 0 && id !== "" ? { pool, id } : fail(`${text} is not POOL/BACKEND`);
}

/** Null for no wait, Infinity for one without an end. */
function waitMs(values: Values): number | null {
  const text = single("wait", values);
  if (text === null) return null;
  if (text === "") return Number.POSITIVE_INFINITY;
  try {
    return parseDuration(text);
  } catch (error) {
    if (error instanceof UnitError) fail(`--wait: ${error.message}`);
    throw error;
  }
}

function runCommand(values: Values): Command {
  const source = configSource(values);
  const takesOver = values.takeover.length > 0;
  if (takesOver && source.kind !== "file") fail("--takeover needs --config FILE, with a pidFile in it");
  return { name: "run", source, takesOver };
}

function configSource(values: Values): ConfigSource {
  const { listen, to } = values;
  const file = single("config", values);
  if (file !== null) {
    const surplus = (["listen", "to", "admin-port"] as const).find((option) => values[option].length > 0);
    return surplus === undefined
      ? { kind: "file", file }
      : fail(`--config and --${surplus} exclude each other`);
  }
  if (listen.length > 0 && to.length > 0) {
    return { kind: "arguments", listen, to, adminPort: portNumber("admin-port", values, ADMIN_PORT) };
  }
  if (listen.length > 0) return fail("--listen needs --to URL as well");
  if (to.length > 0) return fail("--to needs --listen ADDRESS as well");
  return fail("needs --config FILE, or --listen ADDRESS and --to URL");
}

function single(option: OptionName, values: Values): string | null {
  const [first, second] = values[option];
  if (second !== undefined) fail(`--${option} is there twice`);
  return first ?? null;
}

function portNumber(option: "port" | "admin-port", values: Values, fallback: number): number {
  const text = values[option].at(-1);
  if (text === undefined) return fallback;
  const isPort = /^\d{1,5}$/.test(text) && Number(text) <= 65_535;
  return isPort ? Number(text) : fail(`--${option} needs a port from 0 to 65535, not ${text}`);
}

function readArguments(args: readonly string[]): { words: string[]; values: Values } {
  // Not strict, so that what is wrong can be said in our own words.
  const { tokens } = parseArgs({ args: [...args], options: OPTIONS, strict: false, tokens: true });
  const words: string[] = [];
  const values = Object.fromEntries(optionNames().map((name) => [name, [] as string[]])) as Record<
    OptionName,
    string[]
  >;
  for (const token of tokens) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    const name = optionNames().find((known) => known === token.name);
    if (name === undefined)
      throw new UsageError(`unknown option ${token.rawName}${suggestOption(token.name)}`);
    const isSwitch = OPTIONS[name].type === "boolean";
    const mayStandAlone = WITH_OR_WITHOUT_VALUE.has(name);
    if (isSwitch && !mayStandAlone && token.value !== undefined) fail(`--${name} takes no value`);
    if (!isSwitch && !token.value) fail(`--${name} needs a value`);
    values[name].push(token.value ?? "");
  }
  return { words, values };
}

function suggestOption(name: string): string {
  return didYouMean(
    `--${name}`,
    optionNames().map((known) => `--${known}`),
  );
}

function optionNames(): OptionName[] {
  return Object.keys(OPTIONS) as OptionName[];
}

function fail(message: string): never {
  throw new UsageError(message);
}
