// Weir in front of backends, for tests that care about the way to a backend and not about the YAML.
import { startWeir, type StartedWeir } from "./start-weir.ts";

type Section = Readonly<Record<string, unknown>>;

interface FrontOptions {
  /** Keys of the pool `chat` beside its backends. */
  readonly pool?: Section;
  /** Keys of the configuration; `pools` are added to `chat`. */
  readonly config?: Section & { readonly pools?: Section };
}

/** A backend as the configuration names it: its URL, or an object with one. */
type BackendEntry = string | ({ readonly url: string } & Section);

const usual = {
  threads: 1,
  listeners: ["127.0.0.1:0"],
  admin: { bind: "127.0.0.1:0" },
  timeouts: { ping: "off" },
};

/**
 * One thread, one listener on any port, an admin server, and the pool `chat` of these backends. Nothing
 * but the test's own traffic reaches them: no health checks, no pings.
 */
export async function startInFrontOf(
  backends: BackendEntry | readonly BackendEntry[],
  { pool = {}, config = {} }: FrontOptions = {},
): Promise<StartedWeir> {
  const { pools = {}, ...rest } = config;
  const chat = { healthCheck: "off", ...pool, backends: [backends].flat() };
  // JSON is YAML.
  return startWeir(
    JSON.stringify({
      ...usual,
      ...rest,
      pools: { chat, ...pools },
    }),
  );
}

/**
 * As `startInFrontOf`, with a pool `case-0`, `case-1` … for each of these, reached by the path `/0`, `/1` …:
 * for tables whose rows differ in their backends, since starting Weir is what takes time.
 */
export async function startInFrontOfEach(
  cases: readonly (BackendEntry | readonly BackendEntry[])[],
  { pool = {}, config = {} }: FrontOptions = {},
): Promise<StartedWeir> {
  const common = { healthCheck: "off", ...pool };
  const pools = cases.map(
    (backends, i) => [`case-${i}`, { ...common, backends: [backends].flat() }] as const,
  );
  return startWeir(
    JSON.stringify({
      ...usual,
      ...config,
      routes: cases.map((_, i) => ({ match: { path: `/${i}` }, pool: `case-${i}` })),
      pools: Object.fromEntries(pools),
    }),
  );
}

/** Keys of `timeouts` without Weir's own pings. */
export function timeouts(changed: Section): Section {
  return { timeouts: { ping: "off", ...changed } };
}
