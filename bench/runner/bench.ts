// Starts the peers in turn and has each row measured on them. One peer runs at a time.

import type { Peer } from "../peers/peer.ts";
import { checkEcho } from "./echo-check.ts";
import type { Leash } from "./leash.ts";
import type { Results } from "./results.ts";
import { FULL, type Row, type Scale, SMOKE, type SoloRow } from "./row.ts";
import { Session } from "./session.ts";

export interface Bench {
  readonly peers: readonly Peer[];
  readonly results: Results;
  readonly leash: Leash;
  /** Hears what is being done, and what went wrong. */
  readonly log: (line: string) => void;
}

/** What went wrong, by the name of the peer. */
export type Failures = ReadonlyMap<string, string>;

/** Finds the peers that do not carry WebSockets rightly, and so are not worth measuring. */
export function checkPeers(bench: Bench): Promise<Failures> {
  return onEachPeer(bench, (session) => checkEcho(session.port));
}

/** Round by round, and in each round peer by peer: what disturbs the machine disturbs all alike. */
export async function measureRow(bench: Bench, row: Row, rounds: number): Promise<void> {
  const peers = participants(row, bench.peers);
  for (let round = 1; round <= Math.min(rounds, row.mostRounds); round++) {
    for (const peer of peers) {
      bench.log(`${row.name}, round ${round}: ${peer.name}`);
      const failure = await onSession(bench, peer, (session) =>
        record(bench, { row, peer, session, scale: FULL }),
      );
      // A peer that did not even start has its line, too.
      if (failure !== null) bench.results.add(row.name, peer.name, { failure });
    }
  }
}

/** Weir alone, case by case. Returns what went wrong, or null. */
export async function measureSoloRow(
  bench: Bench,
  row: SoloRow,
  scale: Scale = FULL,
): Promise<string | null> {
  try {
    await row.measure({
      leash: bench.leash,
      scale,
      record: (caseName, sample) => {
        bench.log(`${row.name}: ${caseName}`);
        bench.results.add(row.name, caseName, { sample });
      },
    });
    return null;
  } catch (error) {
    const failure = messageOf(error);
    bench.log(`${row.name} failed: ${failure}`);
    bench.results.add(row.name, "weir", { failure });
    return failure;
  }
}

/** Every row once and tiny, on one start of each peer. */
export function smoke(bench: Bench, rows: readonly Row[]): Promise<Failures> {
  return onEachPeer(bench, async (session, peer) => {
    await checkEcho(session.port);
    for (const row of rows) {
      if (!participants(row, bench.peers).includes(peer)) continue;
      await record(bench, { row, peer, session, scale: SMOKE });
    }
  });
}

/** A row about a variant is for the peers that come with it and without; the others for those without. */
function participants(row: Row, peers: readonly Peer[]): readonly Peer[] {
  const { comparison } = row;
  if (comparison === "all") return peers.filter(({ name, family }) => name === family);
  const isVariant = ({ name, family }: Peer): boolean => name === `${family}-${comparison.suffix}`;
  const families = new Set(peers.filter(isVariant).map(({ family }) => family));
  return peers.filter((peer) => families.has(peer.family) && (peer.name === peer.family || isVariant(peer)));
}

interface Measurement {
  readonly row: Row;
  readonly peer: Peer;
  readonly session: Session;
  readonly scale: Scale;
}

async function record(bench: Bench, { row, peer, session, scale }: Measurement): Promise<void> {
  const sample = await row.measure(session, scale);
  bench.results.add(row.name, peer.name, { sample });
}

async function onEachPeer(
  bench: Bench,
  action: (session: Session, peer: Peer) => Promise<void>,
): Promise<Failures> {
  const failures = new Map<string, string>();
  for (const peer of bench.peers) {
    const failure = await onSession(bench, peer, (session) => action(session, peer));
    if (failure !== null) failures.set(peer.name, failure);
  }
  return failures;
}

/** Returns what went wrong, or null. */
async function onSession(
  bench: Bench,
  peer: Peer,
  action: (session: Session) => Promise<void>,
): Promise<string | null> {
  let session: Session | null = null;
  try {
    session = await Session.start(peer, bench.leash);
    await action(session);
    return null;
  } catch (error) {
    const failure = messageOf(error);
    bench.log(`${peer.name} failed: ${failure}`);
    return failure;
  } finally {
    await session?.stop();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
