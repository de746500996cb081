// The addresses that Weir itself listens on: no two may be the same or overlap, and the admin server may not
// be open to everyone. Works on the raw configuration, as checks.ts does.

import { isIP, isIPv6 } from "node:net";
import { attempt, isLoopback, parseBind } from "./addresses.ts";
import type { Finding, KeyPath } from "./problems.ts";
import { field, isSet, itemsOf } from "./raw.ts";
import type { BindAddress } from "./schema-listeners.ts";
import { DEFAULT_ADMIN_BIND } from "./schema-process.ts";

interface OwnBind {
  readonly bind: BindAddress;
  readonly path: KeyPath;
  /** Whose it is, for the message. */
  readonly owner: string;
}

export function checkBinds(raw: unknown): Finding[] {
  const seen: OwnBind[] = [];
  const findings: Finding[] = [];
  for (const own of ownBinds(raw)) {
    const message = conflictOf(own.bind, seen);
    if (message === null) seen.push(own);
    else findings.push({ path: own.path, message });
  }
  return [...findings, ...checkAdmin(raw)];
}

function ownBinds(raw: unknown): OwnBind[] {
  const binds: OwnBind[] = [];
  function add(written: unknown, path: KeyPath, owner: string): void {
    const bind = attempt(parseBind, written);
    const isChosenBySystem = bind?.kind === "tcp" && bind.port === 0;
    if (bind !== null && !isChosenBySystem) binds.push({ bind, path, owner });
  }
  const admin = field(raw, "admin");
  if (admin === undefined || isSet(admin)) {
    add(field(admin, "bind") ?? DEFAULT_ADMIN_BIND, ["admin", "bind"], "the admin server");
  }
  itemsOf(field(raw, "listeners")).forEach((listener, index) => {
    const bind = typeof listener === "string" ? listener : field(listener, "bind");
    add(bind, ["listeners", index, "bind"], `listeners[${index}]`);
  });
  return binds;
}

/** Null where nothing stands in the way of it. */
function conflictOf(bind: BindAddress, others: readonly OwnBind[]): string | null {
  const same = others.find((other) => isSame(bind, other.bind));
  if (same !== undefined) return `${bind.text} is the address of ${same.owner} already`;
  const wider = others.find((other) => covers(other.bind, bind));
  if (wider !== undefined) {
    return `${bind.text} is among the addresses of ${wider.owner} already, which is on all of them (${wider.bind.text})`;
  }
  const narrower = others.find((other) => covers(bind, other.bind));
  if (narrower === undefined) return null;
  return `${bind.text} is on all addresses, and so on that of ${narrower.owner} (${narrower.bind.text}) too`;
}

function isSame(a: BindAddress, b: BindAddress): boolean {
  if (a.kind === "unix") return b.kind === "unix" && a.path === b.path;
  return b.kind === "tcp" && a.port === b.port && canonicalHost(a.host) === canonicalHost(b.host);
}

/** `wide` is on all addresses, or all of IPv4, and that of `narrow` is one of them: the system has no room for both. */
function covers(wide: BindAddress, narrow: BindAddress): boolean {
  if (wide.kind === "unix" || narrow.kind === "unix" || wide.port !== narrow.port) return false;
  const host = canonicalHost(wide.host);
  // Node's `::` takes IPv4 too.
  if (host === "::") return true;
  return host === "0.0.0.0" && isIP(narrow.host) === 4;
}

/** One spelling for each address; no host is all interfaces. */
function canonicalHost(host: string): string {
  if (host === "") return "::";
  return isIPv6(host) ? new URL(`http://[${host}]`).hostname.slice(1, -1) : host.toLowerCase();
}

function checkAdmin(raw: unknown): Finding[] {
  const admin = field(raw, "admin");
  const bind = attempt(parseBind, field(admin, "bind"));
  if (bind === null || isLoopback(bind) || isSet(field(admin, "token"))) return [];
  const message = `${bind.text} can be reached from other machines: set admin.token, or bind to 127.0.0.1`;
  return [{ path: ["admin", "bind"], message }];
}
