// Reads Weir's /metrics for tests: samples by name and labels, and waiting for them to come true.
import { get } from "node:http";

import { until } from "./until.ts";

type Labels = Readonly<Record<string, string>>;

interface Sample {
  readonly name: string;
  readonly labels: Labels;
  readonly value: number;
}

export class Scrape {
  readonly samples: readonly Sample[];

  constructor(text: string) {
    this.samples = text.split("\n").flatMap(parseLine);
  }

  /** The sum of the samples of this name whose labels include these; 0 where there is none. */
  sum(name: string, labels: Labels = {}): number {
    const matching = this.matching(name, labels);
    return matching.reduce((total, { value }) => total + value, 0);
  }

  matching(name: string, labels: Labels = {}): Sample[] {
    const wanted = Object.entries(labels);
    return this.samples.filter(
      (sample) => sample.name === name && wanted.every(([key, value]) => sample.labels[key] === value),
    );
  }
}

export async function scrape(adminUrl: string): Promise<Scrape> {
  return new Scrape(await scrapeText(adminUrl));
}

/** The exposition as it is. */
export async function scrapeText(adminUrl: string): Promise<string> {
  return fetchText(`${adminUrl}/metrics`);
}

/** Waits until the sum of these samples is `expected`; the control plane hears of ends a little later. */
export async function untilMetric(
  adminUrl: string,
  expected: number,
  name: string,
  labels: Labels = {},
): Promise<void> {
  let samples: Sample[] = [];
  await until(`${name}${JSON.stringify(labels)} is ${expected}`, async () => {
    const found = await scrape(adminUrl);
    samples = found.matching(name);
    return found.sum(name, labels) === expected;
  }).catch((error: unknown) => {
    throw new Error(`${String(error)}; samples: ${JSON.stringify(samples)}`, { cause: error });
  });
}

/** The body of a 200, read on a socket of its own, so that no kept-alive one outlives the test. */
async function fetchText(url: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const request = get(url, { agent: false }, (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      if (response.statusCode === 200) resolve(body);
      else reject(new Error(`${url} answered ${response.statusCode}: ${body}`));
    });
    response.on("error", reject);
  });
  request.on("error", reject);
  return promise;
}

function parseLine(line: string): Sample[] {
  const match = /^([a-z_]+)(?:\{(.*)\})? (\S+)$/.exec(line);
  if (match === null) return [];
  const [, name = "", labels = "", value = ""] = match;
  const pairs = [...labels.matchAll(/([a-z_]+)="([^"]*)"/g)].map(([, key = "", text = ""]) => [key, text]);
  return [{ name, labels: Object.fromEntries(pairs), value: Number(value) }];
}
