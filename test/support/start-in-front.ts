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

/** Each upgrade is on its own: tests come from one address, which affinity would keep on one backend. */
const plain = { healthCheck: "off", affinity: "off", outlier: "off" };

/**
 * One thread, one listener on any port, an admin server, and the pool `chat` of these backends. Nothing
 * but the test's own traffic reaches them: no health checks, no pings.
 */
export async function startInFrontOf(
  backends: BackendEntry | readonly BackendEntry[],
  options: FrontOptions = {},
): Promise<StartedWeir> {
  // JSON is YAML.
  return startWeir(JSON.stringify(configOf(backends, options)));
}

/** Takes over what `startInFrontOf` would have been started with. */
export async function reloadInFrontOf(
  { weir }: StartedWeir,
  backends: BackendEntry | readonly BackendEntry[],
  options: FrontOptions = {},
): Promise<void> {
  await weir.reload(configOf(backends, options));
}

function configOf(
  backends: BackendEntry | readonly BackendEntry[],
  { pool = {}, config = {} }: FrontOptions,
): Section {
  const { pools = {}, ...rest } = config;
  const chat = { ...plain, ...pool, backends: [backends].flat() };
  return { ...usual, ...rest, pools: { chat, ...pools } };
}

/**
 * As `startInFrontOf`, with a pool `case-0`, `case-1` … for each of these, reached by the path `/0`, `/1` …:
 * for tables whose rows differ in their backends, since starting Weir is what takes time.
 */
export async function startInFrontOfEach(
  cases: readonly (BackendEntry | readonly BackendEntry[])[],
  { pool = {}, config = {} }: FrontOptions = {},
): Promise<StartedWeir> {
  const common = { ...plain, ...pool };
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
