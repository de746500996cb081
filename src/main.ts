#!/usr/bin/env node
// The command line: reads arguments and files, prints, wires signals, sets exit codes. Each command loads
// what it needs and no more, so that those of every day are quick.

import { once } from "node:events";
import process from "node:process";
import { type Command, type ConfigSource, parseCommandLine, UsageError } from "./command-line.ts";
import type { RemoteCommand } from "./commands/remote-command.ts";
import { HELP } from "./command-line-help.ts";
import type { LoadResult } from "./config/load.ts";
import { formatProblem, type Problem } from "./config/problems.ts";
import { ExitCode, FatalError } from "./errors.ts";
import { packageVersion } from "./version.ts";

/** As shells report a process that a signal ended. */
const EXIT_CODE_OF_SIGNAL = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

type EndingSignal = keyof typeof EXIT_CODE_OF_SIGNAL;

async function main(args: readonly string[]): Promise<void> {
  const command = parseCommandLine(args);
  switch (command.name) {
    case "help":
      process.stdout.write(HELP);
      return;
    case "version":
      process.stdout.write(`${packageVersion()}\n`);
      return;
    case "schema":
      await schema();
      return;
    case "check":
      process.exitCode = await check(command.file);
      return;
    case "demo":
      await demo(command);
      return;
    case "run":
      await run(command);
      return;
    case "tap":
    case "explain":
    case "status":
    case "top":
    case "check-against":
    case "drain":
    case "activate":
    case "reload":
      process.exitCode = await remote(command);
  }
}

async function remote(command: RemoteCommand): Promise<number> {
  const { runRemote } = await import("./commands/run.ts");
  return await runRemote(command);
}

async function schema(): Promise<void> {
  const { jsonSchema } = await import("./config/json-schema.ts");
  process.stdout.write(`${JSON.stringify(jsonSchema(), null, 2)}\n`);
}

async function check(file: string): Promise<number> {
  const { loadConfigFile } = await import("./config/load.ts");
  const loaded = loadConfigFile(file, process.env, "check");
  printWarnings(loaded.warnings);
  if (loaded.ok) {
    process.stdout.write(`${file} is valid\n`);
    return ExitCode.ok;
  }
  process.stdout.write(loaded.errors.map((problem) => `${formatProblem(problem)}\n`).join(""));
  return ExitCode.usage;
}

async function run({ source, takesOver }: Extract<Command, { name: "run" }>): Promise<void> {
  const ending = onFirstSignal(["SIGTERM", "SIGINT"]);
  const loaded = await load(source);
  printWarnings(loaded.warnings);
  if (!loaded.ok)
    throw new FatalError(loaded.errors.map((one) => formatProblem(one)).join("\n"), ExitCode.usage);
  const [{ start }, { createLog }, { RememberingLog }, { Reloader }] = await Promise.all([
    import("./weir.ts"),
    import("./log.ts"),
    import("./remembering-log.ts"),
    import("./reloader.ts"),
  ]);
  const log = new RememberingLog(createLog(loaded.config.log), loaded.config.log);
  const reloader =
    source.kind === "file" ? new Reloader({ file: source.file, env: { ...process.env }, log }) : null;
  process.on("SIGHUP", () => {
    if (reloader === null) log.warn("nothing to reload: there is no configuration file");
    else void reloader.reload();
  });
  const reloads = reloader === null ? {} : { reloads: reloader };
  const weir = await start(loaded.config, { log, takesOver, ending, ...reloads });
  reloader?.begin(weir, loaded.files);

  // In one piece: who has read of the listeners has read of the admin server.
  const { listeners, admin } = weir.addresses;
  const lines = listeners.map((url) => `listening on ${url}\n`);
  if (admin !== null) lines.push(`admin on ${admin}\n`);
  process.stdout.write(lines.join(""));
  // A drain that the admin API was asked for ends the process as well; a first signal then waits for it.
  await Promise.race([aborted(ending), weir.drainBegun]);
  reloader?.close();
  await weir.close();
  log.flush();
  process.exit(ExitCode.ok);
}

async function load(source: ConfigSource): Promise<LoadResult> {
  const { loadConfigFile, parseConfig } = await import("./config/load.ts");
  if (source.kind === "file") return loadConfigFile(source.file, process.env, "run");
  const { listen, to, adminPort } = source;
  const loaded = parseConfig({
    listeners: listen,
    pools: { default: { backends: to } },
    admin: { bind: `127.0.0.1:${adminPort}` },
  });
  return loaded.ok ? loaded : { ...loaded, errors: loaded.errors.map((problem) => asArgument(problem)) };
}

/** The path as the person wrote it: there is no file whose keys it could name. */
function asArgument(problem: Problem): Problem {
  const path = problem.path.startsWith("listeners") ? "--listen" : "--to";
  return { ...problem, path };
}

async function demo({ port, adminPort }: Extract<Command, { name: "demo" }>): Promise<void> {
  const { runDemo } = await import("./demo/demo.ts");
  const ending = onFirstSignal(["SIGTERM", "SIGINT", "SIGHUP"]);
  const running = await runDemo({ port, adminPort });
  await Promise.race([aborted(ending), running.drainBegun]);
  await running.close();
  process.exit(ExitCode.ok);
}

/** Aborted at the first of the signals, which may come while Weir still starts; a second one exits at once. */
function onFirstSignal(signals: readonly EndingSignal[]): AbortSignal {
  const ending = new AbortController();
  for (const signal of signals) {
    process.on(signal, () => {
      if (ending.signal.aborted) process.exit(EXIT_CODE_OF_SIGNAL[signal]);
      ending.abort();
    });
  }
  return ending.signal;
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, "abort");
}

function printWarnings(warnings: readonly Problem[]): void {
  for (const warning of warnings) process.stderr.write(`${formatProblem(warning, "warning")}\n`);
}

function exitWith(error: unknown): never {
  if (error instanceof UsageError) {
    process.stderr.write(`weir: ${error.message}\nweir --help shows what there is\n`);
    process.exit(ExitCode.usage);
  }
  if (error instanceof FatalError) {
    process.stderr.write(`${error.message}\n`);
    process.exit(error.exitCode);
  }
  process.stderr.write(`weir: internal failure: ${error instanceof Error ? error.stack : String(error)}\n`);
  process.exit(ExitCode.internal);
}

process.on("uncaughtException", exitWith);
// Whoever reads our output may leave first (`weir schema | head`); that ends nothing.
process.stdout.on("error", () => {});

try {
  await main(process.argv.slice(2));
} catch (error) {
  exitWith(error);
}
