// What the bench needs to know of a competitor, and how it finds out whether it is installed.

import { readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { findProgram } from "../../test/support/requirement.ts";

interface Placement {
  /** The address that the peer must accept on: 127.0.0.1 and this port. */
  readonly port: number;
  /** The echo backend, on 127.0.0.1. */
  readonly backendPort: number;
  /** A free port, for a peer that also has an admin address. */
  readonly adminPort: number;
  /** A directory of this one start, empty and deleted afterwards; the working directory of the peer. */
  readonly directory: string;
}

interface Launch {
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Written into the directory before the start, by name. */
  readonly files?: Readonly<Record<string, string>>;
}

export interface Peer {
  readonly name: string;
  /** Name of the same peer with one thread. */
  readonly family: string;
  /** Throws with the reason when the peer cannot be started on this machine. */
  version(): string;
  launch(placement: Placement): Launch;
}

/** The first line of what a program on the PATH says about its version. */
export function versionOf(program: string, ...args: string[]): string {
  if (findProgram([program]) === undefined) throw new Error(`no ${program} on the PATH`);
  // nginx writes to stderr.
  const said = execFileSync("sh", ["-c", '"$@" 2>&1', "sh", program, ...args], { encoding: "utf8" });
  return said.split("\n", 1)[0]?.trim() ?? "";
}

/** The version in a package.json, given relative to this file. */
export function packageVersion(path: string): string {
  const version = /"version": "([^"]+)"/.exec(readFileSync(new URL(path, import.meta.url), "utf8"))?.[1];
  if (version === undefined) throw new Error(`no version in ${path}`);
  return version;
}
