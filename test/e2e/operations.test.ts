// What is handed to operators is about this Weir: each metric, label and value that the alert rules and the
// dashboard name is one that a scrape has.
import { readFile } from "node:fs/promises";
import { beforeEach, expect, test } from "vitest";
import { parse } from "yaml";

import { CLOSE_REASONS } from "../../src/data-plane/close-reasons.ts";
import { ERRORS } from "../../src/errors.ts";
import { scrape, scrapeText } from "../support/metrics.ts";
import { familiesOf } from "../support/promlint.ts";
import { startInFrontOf } from "../support/start-in-front.ts";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description?: string };
}

interface Panel {
  readonly type: string;
  readonly title: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

/** Prometheus itself adds these. */
const ADDED_LABELS = ["instance", "job"];

/** Labels of every family, and values that are there from the start or that the code has a table of. */
let labelsOf: Map<string, ReadonlySet<string>>;
let values: ReadonlySet<string>;

async function read(file: string): Promise<string> {
  return readFile(new URL(`../../docs/operations/${file}`, import.meta.url), "utf8");
}

beforeEach(async () => {
  const weir = await startInFrontOf({ id: "first", url: "ws://127.0.0.1:1" });
  const families = familiesOf(await scrapeText(weir.adminUrl));
  labelsOf = new Map([
    ["up", new Set()],
    ...Array.from(families, ([name, { labels }]) => [name, labels] as const),
  ]);
  const { samples } = await scrape(weir.adminUrl);
  values = new Set([
    ...samples.flatMap(({ labels }) => Object.values(labels)),
    ...Object.keys(ERRORS),
    ...Object.keys(CLOSE_REASONS),
    "weir",
  ]);
});

interface Selector {
  readonly family: string;
  readonly matchers: readonly { readonly label: string; readonly values: readonly string[] }[];
}

function selectorsOf(expr: string): Selector[] {
  return [...expr.matchAll(/\b(up|(?:weir|process|nodejs)_\w+)(?:\{([^}]*)\})?/g)].map(
    ([, name = "", matchers = ""]) => ({
      family: labelsOf.has(name) ? name : name.replace(/_(?:bucket|count|sum)$/, ""),
      matchers: [...matchers.matchAll(/(\w+)(?:=~|!~|!=|=)"([^"]*)"/g)].map(([, label = "", text = ""]) => ({
        label,
        values: text.startsWith("$") ? [] : text.split("|"),
      })),
    }),
  );
}

/** Labels that an expression groups or joins by (`by|on`), or takes away (`without`). */
function labelsAfter(words: "by|on" | "without", expr: string): string[] {
  const lists = expr.matchAll(new RegExp(`\\b(?:${words}) \\(([^)]*)\\)`, "g"));
  return [...lists].flatMap(([, list = ""]) => list.split(/,\s*/));
}

/** What is wrong with an expression, and with the labels that a text shows of its result. */
function faultsOf(expr: string, shown: readonly string[]): string[] {
  const selectors = selectorsOf(expr);
  if (selectors.length === 0) return ["names no metric"];
  const faults: string[] = [];
  const all = new Set([...ADDED_LABELS, "le"]);
  for (const { family, matchers } of selectors) {
    const labels = labelsOf.get(family);
    if (labels === undefined) faults.push(`no family ${family}`);
    for (const label of labels ?? []) all.add(label);
    for (const { label, values: wanted } of matchers) {
      if (labels?.has(label) !== true && !ADDED_LABELS.includes(label))
        faults.push(`${family} has no ${label}`);
      faults.push(...wanted.filter((one) => !values.has(one)).map((one) => `${label} is never ${one}`));
    }
  }
  const [grouping, gone] = [labelsAfter("by|on", expr), labelsAfter("without", expr)];
  const named = [...grouping, ...gone];
  faults.push(...named.filter((label) => !all.has(label)).map((label) => `nothing has ${label}`));
  const isGrouped = /^(?:sum|min|max|histogram_quantile)\b(?! without)/.test(expr);
  const left = isGrouped ? new Set(grouping) : new Set([...all].filter((label) => !gone.includes(label)));
  faults.push(...shown.filter((label) => !left.has(label)).map((label) => `${label} is shown, and gone`));
  return faults;
}

test("the alert rules name nothing that is not there, and say what to do", async () => {
  const { groups } = parse(await read("prometheus-alerts.yaml")) as { groups: { rules: Rule[] }[] };
  const rules = groups.flatMap((group) => group.rules);
  expect(rules.length).toBeGreaterThan(10);
  expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  for (const { alert, expr, labels, annotations } of rules) {
    const texts = Object.values(annotations).join(" ");
    const shown = [...texts.matchAll(/\$labels\.(\w+)/g)].map(([, label = ""]) => label);
    expect.soft([alert, faultsOf(expr.trim(), shown)]).toEqual([alert, []]);
    expect.soft(labels.severity).toMatch(/^(?:critical|warning)$/);
    expect.soft(annotations.summary).not.toBe("");
  }
});

test("the dashboard names nothing that is not there, and leaves out none of Weir's families", async () => {
  const text = await read("grafana-dashboard.json");
  const { panels } = JSON.parse(text) as { panels: Panel[] };
  const named = new Set<string>();
  for (const { type, title, targets = [] } of panels) {
    expect.soft([title, targets.length > 0]).toEqual([title, type !== "row"]);
    for (const { expr, legendFormat } of targets) {
      const shown = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = ""]) => label);
      expect.soft([title, faultsOf(expr, shown)]).toEqual([title, []]);
      for (const { family } of selectorsOf(expr)) named.add(family);
    }
  }
  // Those that are shown as one with another, or that only a query or an alert is for.
  const others = [
    "weir_backend_up",
    "weir_build_info",
    "weir_config_last_reload_timestamp_seconds",
    "weir_connection_duration_seconds",
    "weir_draining",
    "weir_health_changes_total",
    "weir_tls_certificate_expiry_timestamp_seconds",
    "weir_webhook_posts_total",
  ];
  const own = [...labelsOf.keys()].filter((name) => name.startsWith("weir_"));
  expect(own.filter((name) => !named.has(name)).toSorted()).toEqual(others);
});

test("what is wrong with an expression is found", () => {
  expect(faultsOf("weir_no_such_thing > 1", [])).toEqual(["no family weir_no_such_thing"]);
  expect(faultsOf('weir_users{pool="chat"}', [])).toEqual(["weir_users has no pool"]);
  expect(faultsOf('weir_health_state{state="fine"}', [])).toEqual(["state is never fine"]);
  expect(faultsOf("sum by (backend) (weir_users)", [])).toEqual(["nothing has backend"]);
  expect(faultsOf("sum by (pool) (weir_backend_up)", ["backend"])).toEqual(["backend is shown, and gone"]);
  const without = "max without (state, side) (weir_backend_state)";
  expect(faultsOf(without, ["state", "backend"])).toEqual(["nothing has side", "state is shown, and gone"]);
  expect(faultsOf("1 > 0", [])).toEqual(["names no metric"]);
});
