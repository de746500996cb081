// A Weir between byte-exact ends: a raw client and a scripted backend, both of which keep their half of
// a socket open until the test ends it.
import { openRaw } from "./raw-client.ts";
import type { RawConnection } from "./raw-connection.ts";
import { accept, startScriptedBackend } from "./scripted-backend.ts";
import { startWeir, type StartedWeir } from "./start-weir.ts";

/** Both ends of one proxied connection. */
export interface RelayedPair {
  readonly client: RawConnection;
  readonly backend: RawConnection;
}

interface RelayOptions {
  /** Further top-level keys of the configuration. */
  readonly yaml?: string;
  /** Sec-WebSocket-Extensions that the client offers and the backend agrees to. */
  readonly extensions?: string;
}

export interface Relay extends StartedWeir {
  /** Opens one more connection through Weir. One at a time: that is how client and backend are matched. */
  open(): Promise<RelayedPair>;
}

export async function startRelay(options: RelayOptions = {}): Promise<Relay> {
  const { extensions } = options;
  const agreed = extensions === undefined ? {} : { extensions };
  const server = await startScriptedBackend(accept(agreed), { allowHalfOpen: true });
  const started = await startWeir(relayYaml([server.url], options.yaml));
  const open = async (): Promise<RelayedPair> => {
    const index = server.connections.length;
    const { connection: client } = await openRaw(started.url, { ...agreed, allowHalfOpen: true });
    return { client, backend: await server.connection(index) };
  };
  return Object.assign(started, { open });
}

/**
 * One listener on any port, the pool `chat`, and what `more` adds. Nothing but the test's own bytes
 * reaches the backends: no health checks, no pings.
 */
export function relayYaml(backends: readonly string[], more = ""): string {
  return `
listeners: ["127.0.0.1:0"]
admin: { bind: "127.0.0.1:0" }
pools: { chat: { healthCheck: off, affinity: off, outlier: off, backends: ${JSON.stringify(backends)} } }
${/^threads:/m.test(more) ? "" : "threads: 1"}
${/^timeouts:/m.test(more) ? "" : "timeouts: { ping: off }"}
${more}
`;
}
