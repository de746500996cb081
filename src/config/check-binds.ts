// The addresses that Weir itself listens on: no two may be the same or overlap, and the admin server may not
// be open to everyone. Works on the raw configuration, as checks.ts does.

import { isIPv4, isIPv6 } from "node:net";
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
  const taken = new TakenAddresses();
  const findings = ownBinds(raw).flatMap((own): Finding[] => {
    const message = taken.conflictOf(own.bind);
    if (message !== null) return [{ path: own.path, message }];
    taken.add(own);
    return [];
  });
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

/** No two of them are the same or overlap. */
class TakenAddresses {
  readonly #owners = new Map<string, OwnBind>();
  /** By port: the first of all, and of those with an IPv4 address. */
  readonly #first = new Map<number, OwnBind>();
  readonly #firstIPv4 = new Map<number, OwnBind>();

  add(own: OwnBind): void {
    const { bind } = own;
    this.#owners.set(canonicalText(bind), own);
    if (bind.kind === "unix") return;
    if (!this.#first.has(bind.port)) this.#first.set(bind.port, own);
    if (isIPv4(bind.host) && !this.#firstIPv4.has(bind.port)) this.#firstIPv4.set(bind.port, own);
  }

  /** Null where nothing stands in the way of it. */
  conflictOf(bind: BindAddress): string | null {
    const same = this.#owners.get(canonicalText(bind));
    if (same !== undefined) return `${bind.text} is the address of ${same.owner} already`;
    if (bind.kind === "unix") return null;
    const wider = this.#around(bind.host, bind.port);
    if (wider !== undefined) {
      return `${bind.text} is among the addresses of ${wider.owner} already, which is on all of them (${wider.bind.text})`;
    }
    const narrower = this.#within(bind.host, bind.port);
    if (narrower === undefined) return null;
    return `${bind.text} is on all addresses, and so on that of ${narrower.owner} (${narrower.bind.text}) too`;
  }

  /** The one on all addresses, or all of IPv4, if this is one of them: the system has no room for both. */
  #around(host: string, port: number): OwnBind | undefined {
    // Node's `::` takes IPv4 too.
    const onAll = this.#owners.get(tcpText("::", port));
    return onAll ?? (isIPv4(host) ? this.#owners.get(tcpText("0.0.0.0", port)) : undefined);
  }

  #within(host: string, port: number): OwnBind | undefined {
    const canonical = canonicalHost(host);
    if (canonical === "::") return this.#first.get(port);
    return canonical === "0.0.0.0" ? this.#firstIPv4.get(port) : undefined;
  }
}

function canonicalText(bind: BindAddress): string {
  return bind.kind === "unix" ? `unix:${bind.path}` : tcpText(canonicalHost(bind.host), bind.port);
}

function tcpText(canonical: string, port: number): string {
  return `tcp:${canonical}:${port}`;
}

/** One spelling for each address; no host is all interfaces. */
function canonicalHost(host: string): string {
  if (host === "") return "::";
  if (!isIPv6(host)) return host.toLowerCase();
  // A URL has no room for the zone of a link-local address.
  const [address = "", ...zone] = host.split("%");
  return [new URL(`http://[${address}]`).hostname.slice(1, -1), ...zone].join("%");
}

function checkAdmin(raw: unknown): Finding[] {
  const admin = field(raw, "admin");
  const bind = attempt(parseBind, field(admin, "bind"));
  if (bind === null || isLoopback(bind) || isSet(field(admin, "token"))) return [];
  const message = `${bind.text} can be reached from other machines: set admin.token, or bind to 127.0.0.1`;
  return [{ path: ["admin", "bind"], message }];
}
