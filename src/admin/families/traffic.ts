// The families about connections and messages by tier and pool, summed over the threads' counters at a scrape.

import type { Admission } from "../../control-plane/admission.ts";
import type { CounterName, Counters } from "../../shared-memory/counters.ts";
import type { BufferedBytes } from "../../shared-memory/buffered-bytes.ts";
import { labelsText, type LiveFamily, type Sample } from "../exposition.ts";

const DIRECTIONS = [
  { direction: "client_to_backend", messages: "messagesToBackend", bytes: "bytesToBackend" },
  { direction: "backend_to_client", messages: "messagesToClient", bytes: "bytesToClient" },
] as const satisfies readonly { direction: string; messages: CounterName; bytes: CounterName }[];

const LIMIT_ACTIONS = [
  ["delay", "messagesDelayed"],
  ["drop", "messagesDropped"],
  ["close", "messagesClosedOn"],
  ["log", "messagesLogged"],
] as const satisfies readonly (readonly [string, CounterName])[];

interface TrafficSources {
  readonly admission: Pick<Admission, "openConnections" | "caps">;
  readonly counters: Counters;
  readonly buffered: Pick<BufferedBytes, "total">;
}

export function trafficFamilies({ admission, counters, buffered }: TrafficSources): LiveFamily[] {
  return [
    {
      name: "weir_connections",
      help: "Open connections.",
      type: "gauge",
      samples: () => openConnections(admission),
    },
    {
      name: "weir_connections_limit",
      help: "Connections at most, by tier; the tier `all` is the global cap. A tier without a cap has no sample.",
      type: "gauge",
      samples: () => admission.caps.all.map(({ tier, limit }): Sample => [labelsText({ tier }), limit]),
    },
    {
      name: "weir_messages_total",
      help: "WebSocket messages passed on, counted at their first frame.",
      type: "counter",
      samples: () => passedOn(counters, "messages"),
    },
    {
      name: "weir_bytes_total",
      help: "Bytes on the wire of the frames passed on.",
      type: "counter",
      samples: () => passedOn(counters, "bytes"),
    },
    {
      name: "weir_messages_limited_total",
      help: "Messages above a limit, by what was done with them.",
      type: "counter",
      samples: () => limited(counters),
    },
    {
      name: "weir_buffered_bytes",
      help: "Bytes that wait for the peer of this side to take them, as looked at once a second.",
      type: "gauge",
      samples: () => [
        ['side="client"', buffered.total("client")],
        ['side="backend"', buffered.total("backend")],
      ],
    },
  ];
}

function* openConnections({ openConnections: open }: TrafficSources["admission"]): Iterable<Sample> {
  for (const { tier, pool, count } of open) yield [labelsText({ tier, pool }), count];
}

function* passedOn(counters: Counters, figure: "messages" | "bytes"): Iterable<Sample> {
  for (const entry of DIRECTIONS) {
    const { direction } = entry;
    for (const { tier, pool, total } of counters.totals(entry[figure])) {
      yield [labelsText({ direction, tier, pool }), total];
    }
  }
}

/** A tier's figures are those of all its pools. */
function* limited(counters: Counters): Iterable<Sample> {
  for (const [action, name] of LIMIT_ACTIONS) {
    const totals = new Map<string, number>();
    for (const { tier, total } of counters.totals(name)) totals.set(tier, (totals.get(tier) ?? 0) + total);
    for (const [tier, total] of totals) yield [labelsText({ action, tier }), total];
  }
}
