// Writes all families down in Prometheus' text format, in short turns of the event loop: however many samples
// there are, new connections wait for no more than one turn.

import type prometheus from "prom-client";

/** A family whose samples are read at a scrape, one by one. */
export interface LiveFamily {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  readonly samples: () => Iterable<Sample>;
}

/** Labels as `labelsText` writes them, and the value. */
export type Sample = readonly [labels: string, value: number];

const TURN_MS = 2;

/** The clock is looked at once per so many samples. */
const SAMPLES_PER_LOOK = 128;

/** Gives the event loop a turn whenever it has been kept busy for long enough. */
class Turns {
  #startedAtMs = performance.now();

  async rest(): Promise<void> {
    if (performance.now() - this.#startedAtMs < TURN_MS) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#startedAtMs = performance.now();
  }
}

export class Exposition {
  readonly #registry: prometheus.Registry;
  readonly #families: LiveFamily[] = [];
  #running: Promise<string> | null = null;

  constructor(registry: prometheus.Registry) {
    this.#registry = registry;
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  add(...families: readonly LiveFamily[]): void {
    this.#families.push(...families);
  }

  /** Who asks while a scrape is under way gets the same one: families that are set anew are read by one at a time. */
  async text(): Promise<string> {
    this.#running ??= this.#write().finally(() => (this.#running = null));
    return this.#running;
  }

  async #write(): Promise<string> {
    const turns = new Turns();
    const parts: string[] = [];
    for (const { name } of this.#registry.getMetricsAsArray()) {
      await turns.rest();
      parts.push(await this.#registry.getSingleMetricAsString(name));
    }
    for (const family of this.#families) parts.push(await written(family, turns));
    return `${parts.join("\n\n")}\n`;
  }
}

async function written({ name, help, type, samples }: LiveFamily, turns: Turns): Promise<string> {
  let text = `# HELP ${name} ${help}\n# TYPE ${name} ${type}`;
  let count = 0;
  for (const [labels, value] of samples()) {
    if (count++ % SAMPLES_PER_LOOK === 0) await turns.rest();
    text += `\n${name}${labels === "" ? "" : `{${labels}}`} ${value}`;
  }
  return text;
}

/** `a="1",b="2"`, with what would break the format escaped. */
export function labelsText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}="${escaped(value)}"`)
    .join(",");
}

function escaped(value: string): string {
  return /[\\"\n]/.test(value)
    ? value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")
    : value;
}
