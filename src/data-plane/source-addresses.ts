// The local ends that dials leave from: `sourceAddresses` in turn, each with a port that we choose.

import { readFileSync } from "node:fs";
import net from "node:net";

export interface LocalEnd {
  readonly localAddress: string;
  /** Left out, the system chooses. */
  readonly localPort?: number;
}

/** First and last. */
export type PortRange = readonly [number, number];

/** Ports of one address that a dial tries. With nine in ten taken, it finds a free one in nine of ten cases. */
const PORTS_TRIED = 20;

/**
 * Ports to dial from; null: the system is to choose, since its range is not known. Where Linux chooses one
 * for a bound socket, it keeps that port for this socket alone, not knowing yet where to: 28 000 connections
 * from an address to all backends together. A port of our choice may serve a connection to each backend.
 */
const LOCAL_PORTS = readLocalPorts();

export class SourceAddresses {
  readonly #addresses: readonly string[];
  readonly #ports: PortRange | null;
  #turn = 0;

  /** @param ports null: the system chooses them */
  constructor(addresses: readonly string[], ports = LOCAL_PORTS) {
    this.#addresses = addresses;
    this.#ports = ports;
  }

  /** The local ends for a dial to this address; null: where none of our addresses is of its family. */
  endsFor(address: string): LocalEnds | null {
    if (this.#addresses.length === 0) return null;
    const family = net.isIP(address);
    const fitting = this.#addresses.filter((source) => net.isIP(source) === family);
    if (fitting.length === 0) return null;
    const first = this.#turn++ % fitting.length;
    return new LocalEnds([...fitting.slice(first), ...fitting.slice(0, first)], this.#ports);
  }
}

/** Those that one dial tries, one after another. */
export class LocalEnds {
  readonly #addresses: readonly string[];
  readonly #ports: PortRange | null;
  #address = 0;
  #portsTried = 1;
  #current: LocalEnd;

  constructor(addresses: readonly string[], ports: PortRange | null) {
    this.#addresses = addresses;
    this.#ports = ports;
    this.#current = this.#choose();
  }

  get current(): LocalEnd {
    return this.#current;
  }

  /** Goes on to the next one; false where none is left, or the error is not about the local end. */
  advance({ code, syscall }: NodeJS.ErrnoException): boolean {
    if (code !== "EADDRNOTAVAIL" && code !== "EADDRINUSE") return false;
    // An address that cannot be bound is not ours; one that cannot connect has that port taken.
    const isPortTaken = code === "EADDRINUSE" || syscall !== "bind";
    if (isPortTaken && this.#ports !== null && this.#portsTried < PORTS_TRIED) {
      this.#portsTried += 1;
    } else {
      this.#address += 1;
      this.#portsTried = 1;
    }
    if (this.#address >= this.#addresses.length) return false;
    this.#current = this.#choose();
    return true;
  }

  #choose(): LocalEnd {
    const localAddress = this.#addresses[this.#address] ?? "";
    if (this.#ports === null) return { localAddress };
    const [first, last] = this.#ports;
    return { localAddress, localPort: first + Math.floor(Math.random() * (last - first + 1)) };
  }
}

function readLocalPorts(): PortRange | null {
  try {
    const text = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "latin1");
    const [first = Number.NaN, last = Number.NaN] = text.trim().split(/\s+/).map(Number);
    // A port that any bound socket has is none that Linux would give an unbound one, of any process: some
    // are left to those, our own health checks among them.
    const left = Math.ceil((last - first + 1) / 8);
    return first > 0 && last - left >= first ? [first, last - left] : null;
  } catch {
    return null;
  }
}
