// The naming rules that `promtool check metrics` applies to a scrape, for families of our own.
// https://prometheus.io/docs/practices/naming/

interface Family {
  readonly name: string;
  type: string;
  help: string;
  readonly labels: Set<string>;
  samples: number;
}

/** Families of an exposition by name. */
export function familiesOf(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  const family = (name: string): Family => {
    const known = families.get(name) ?? { name, type: "", help: "", labels: new Set<string>(), samples: 0 };
    families.set(name, known);
    return known;
  };
  for (const line of text.split("\n")) {
    const [, kind, about = "", rest = ""] = /^# (HELP|TYPE) (\S+) ?(.*)$/.exec(line) ?? [];
    if (kind === "HELP") family(about).help = rest;
    if (kind === "TYPE") family(about).type = rest;
    const [, name = "", labels = ""] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    if (name === "" || line.startsWith("#")) continue;
    const base = name.replace(/_(?:bucket|sum|count)$/, "");
    const owner = families.get(base)?.type === "histogram" ? family(base) : family(name);
    owner.samples += 1;
    for (const [, label = ""] of labels.matchAll(/([a-zA-Z_]\w*)="(?:[^"\\]|\\.)*"/g))
      owner.labels.add(label);
  }
  return families;
}

const TYPES = ["counter", "gauge", "histogram", "summary"];

/** Units that are not the base unit, and short forms of units. */
const FOREIGN_UNITS =
  /_(?:milliseconds|microseconds|nanoseconds|minutes|hours|days|weeks|ms|us|ns|sec|s|min|h|kilobytes|megabytes|gigabytes|kib|mib|gib|kb|mb|gb|b|percent|percentage|celcius|kelvins)(?:_|$)/;

/** What promtool would say of these families. */
export function promlint(families: Iterable<Family>): string[] {
  const problems: string[] = [];
  for (const { name, type, help, labels } of families) {
    const check = (isWrong: boolean, problem: string): void => {
      if (isWrong) problems.push(`${name}: ${problem}`);
    };
    check(help === "", "has no help text");
    check(!TYPES.includes(type), `has the type ${JSON.stringify(type)}`);
    check(type === "counter" && !name.endsWith("_total"), "is a counter whose name does not end with _total");
    check(type !== "counter" && name.endsWith("_total"), "is no counter, but its name ends with _total");
    check(/_(?:bucket|count|sum)$/.test(name), "ends as a part of a histogram does");
    check(
      TYPES.some((one) => name.split("_").includes(one)),
      "has its type in its name",
    );
    check(name.includes(":"), "has a colon");
    check(/[A-Z]/.test(name), "is in camel case");
    check(FOREIGN_UNITS.test(name), "has a unit that is no base unit, or a short form");
    check(type !== "histogram" && labels.has("le"), "has the label le");
    check(type !== "summary" && labels.has("quantile"), "has the label quantile");
    check(
      [...labels].some((label) => !/^[a-z][a-z0-9_]*$/.test(label)),
      "has a label in camel case",
    );
  }
  return problems;
}
