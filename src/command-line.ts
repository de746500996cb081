// What a command line asks for. Refuses what it does not know, with a suggestion; does nothing itself.

import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { didYouMean } from "./config/suggest.ts";

export type Command =
  | { readonly name: "run"; readonly source: ConfigSource }
  | { readonly name: "check"; readonly file: string }
  | { readonly name: "demo"; readonly port: number; readonly adminPort: number }
  | { readonly name: "schema" | "help" | "version" };

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

export const HELP = `Weir balances WebSocket connections over backends.

  weir run --config FILE              run with a configuration file ("run" may be left out)
  weir --listen ADDRESS --to URL [--admin-port N]
                                      run without a file; --listen and --to may be repeated
  weir check --config FILE            validate a file: exit code 0, or 1 with every error
  weir demo [--port N] [--admin-port N]
                                      two small backends, Weir in front, a page to try it
  weir schema                         print the JSON Schema of the configuration, for editors
  weir --help, weir --version

  -c is short for --config, -h for --help, -v for --version.
  Example: weir --listen :8080 --to ws://localhost:3001 --to ws://localhost:3002

Signals: SIGTERM and SIGINT drain and exit with 0, a second one exits at once; SIGHUP reloads the file.
Exit codes: 0 fine, 1 bad configuration or usage, 70 internal failure, 71 cannot bind.
`;

const DEMO_PORT = 8080;
const ADMIN_PORT = 9347;

const OPTIONS = {
  config: { type: "string", short: "c" },
  listen: { type: "string", multiple: true },
  to: { type: "string", multiple: true },
  port: { type: "string" },
  "admin-port": { type: "string" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean", short: "v" },
} as const satisfies ParseArgsOptionsConfig;

type OptionName = keyof typeof OPTIONS;

const OPTIONS_OF_COMMAND: Readonly<Record<string, readonly OptionName[]>> = {
  run: ["config", "listen", "to", "admin-port"],
  check: ["config"],
  demo: ["port", "admin-port"],
  schema: [],
};

/** Every value that an option was given, in order; empty for an option that is not there. */
type Values = Readonly<Record<OptionName, readonly string[]>>;

/** @throws UsageError */
export function parseCommandLine(args: readonly string[]): Command {
  const { words, values } = readArguments(args);
  if (values.help.length > 0) return { name: "help" };
  if (values.version.length > 0) return { name: "version" };
  const [command = "run", surplus] = words;
  const allowed = Object.hasOwn(OPTIONS_OF_COMMAND, command) ? OPTIONS_OF_COMMAND[command] : undefined;
  if (allowed === undefined) {
    throw new UsageError(`unknown command ${command}${didYouMean(command, Object.keys(OPTIONS_OF_COMMAND))}`);
  }
  if (surplus !== undefined) throw new UsageError(`${command} takes no argument, but there is ${surplus}`);
  for (const option of optionNames()) {
    const isForeign = values[option].length > 0 && !allowed.includes(option);
    if (isForeign) throw new UsageError(`--${option} is not an option of ${command}`);
  }
  return toCommand(command, values);
}

function toCommand(command: string, values: Values): Command {
  switch (command) {
    case "check":
      return { name: "check", file: configFile(values) ?? fail("check needs --config FILE") };
    case "demo":
      return {
        name: "demo",
        port: portNumber("port", values, DEMO_PORT),
        adminPort: portNumber("admin-port", values, ADMIN_PORT),
      };
    case "schema":
      return { name: "schema" };
    default:
      return { name: "run", source: configSource(values) };
  }
}

function configSource(values: Values): ConfigSource {
  const { listen, to } = values;
  const file = configFile(values);
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

function configFile({ config }: Values): string | null {
  if (config.length > 1) fail("--config is there twice");
  return config[0] ?? null;
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
  const values: Record<OptionName, string[]> = {
    config: [],
    listen: [],
    to: [],
    port: [],
    "admin-port": [],
    help: [],
    version: [],
  };
  for (const token of tokens) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option") continue;
    const name = optionNames().find((known) => known === token.name);
    if (name === undefined)
      throw new UsageError(`unknown option ${token.rawName}${suggestOption(token.name)}`);
    const isSwitch = OPTIONS[name].type === "boolean";
    if (isSwitch && token.value !== undefined) fail(`--${name} takes no value`);
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
