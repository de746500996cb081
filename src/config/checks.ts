// What must hold between keys. Works on the raw configuration, so that it finds its errors beside those
// of the schema, in one go; what the schema already refuses is passed over here.

import { attempt, defaultBackendId, parseBackendUrl } from "./addresses.ts";
import type { BackendsLists } from "./backends-file.ts";
import { checkBinds } from "./check-binds.ts";
import { type Finding, formatPath, type KeyPath, listed } from "./problems.ts";
import { entriesOf, field, isOn, isSet, itemsOf } from "./raw.ts";
import type { BackendTarget } from "./schema-backends.ts";
import { Suggestions } from "./suggest.ts";

/**
 * Every conflict between keys of the file.
 *
 * @param lists backends that came from files of their own
 */
export function checkConfig(raw: unknown, lists: BackendsLists): Finding[] {
  return [
    ...checkBinds(raw),
    ...checkNames(raw),
    ...checkClientCertificates(raw),
    ...checkJwt(raw),
    ...checkSources(raw),
    ...checkDefaultTier(raw),
    ...checkRoutes(raw),
    ...entriesOf(field(raw, "pools")).flatMap(([name, pool]) =>
      checkPool(pool, ["pools", name], lists.get(name)?.start ?? Number.POSITIVE_INFINITY),
    ),
    ...checkPoolNames(raw),
    ...checkPairs(raw),
  ];
}

/** The one key that the schema passes over without a word where names are free to choose. */
const NO_NAME = "__proto__";

function checkNames(raw: unknown): Finding[] {
  const named: [KeyPath, unknown][] = [
    [["tiers"], field(raw, "tiers")],
    [["pools"], field(raw, "pools")],
  ];
  for (const [index, route] of itemsOf(field(raw, "routes")).entries()) {
    named.push([["routes", index, "headers", "set"], field(field(route, "headers"), "set")]);
  }
  for (const [name, pool] of entriesOf(field(raw, "pools"))) {
    named.push([["pools", name, "healthCheck", "headers"], field(field(pool, "healthCheck"), "headers")]);
  }
  return named
    .filter(([, record]) => entriesOf(record).some(([name]) => name === NO_NAME))
    .map(([path]) => ({ path: [...path, NO_NAME], at: "key", message: "cannot be a name: choose another" }));
}

/** Pairs of tier and pool whose messages are counted, at most. */
const MAX_PAIRS = 16_384;

function checkPairs(raw: unknown): Finding[] {
  const tiers = Math.max(1, entriesOf(field(raw, "tiers")).length);
  const pools = entriesOf(field(raw, "pools")).length;
  if (tiers * pools <= MAX_PAIRS) return [];
  const message = `${tiers} tiers in ${pools} pools are more than ${MAX_PAIRS} pairs, which cannot be counted`;
  return [{ path: ["pools"], at: "key", message }];
}

function checkClientCertificates(raw: unknown): Finding[] {
  return itemsOf(field(raw, "listeners")).flatMap((listener, index) => {
    const tls = field(listener, "tls");
    if (!isSet(field(tls, "clientCert")) || isSet(field(tls, "clientCa"))) return [];
    return [
      {
        path: ["listeners", index, "tls", "clientCert"],
        message: "needs clientCa, to check certificates against",
      },
    ];
  });
}

function checkJwt(raw: unknown): Finding[] {
  const path = ["identity", "jwt"];
  const jwt = field(field(raw, "identity"), "jwt");
  if (!isSet(jwt)) return [];
  const kinds = ["secret", "publicKey", "jwksUrl"].filter((kind) => field(jwt, kind) !== undefined);
  const choice = "secret, publicKey and jwksUrl";
  if (kinds.length !== 1) return [{ path, at: "key", message: `needs exactly one of ${choice}` }];
  const isShared = kinds[0] === "secret";
  return itemsOf(field(jwt, "algorithms")).flatMap((algorithm, index) => {
    if (typeof algorithm !== "string" || algorithm.startsWith("HS") === isShared) return [];
    const message = isShared ? `${algorithm} needs a publicKey, not a secret` : `${algorithm} needs a secret`;
    return [{ path: [...path, "algorithms", index], message }];
  });
}

/** Sources that can never yield anything. */
function checkSources(raw: unknown): Finding[] {
  const identity = field(raw, "identity");
  const hasClientCa = itemsOf(field(raw, "listeners")).some((one) =>
    isSet(field(field(one, "tls"), "clientCa")),
  );
  return ["user", "tier"].flatMap((key) =>
    itemsOf(field(identity, key)).flatMap((source, index): Finding[] => {
      const path = ["identity", key, index];
      if (field(source, "jwt") !== undefined && !isSet(field(identity, "jwt"))) {
        return [
          {
            path: [...path, "jwt"],
            at: "key",
            message: "needs identity.jwt, which says how tokens are checked",
          },
        ];
      }
      if (field(source, "certificate") !== undefined && !hasClientCa) {
        return [{ path: [...path, "certificate"], at: "key", message: "needs a listener with tls.clientCa" }];
      }
      return [];
    }),
  );
}

function checkDefaultTier(raw: unknown): Finding[] {
  const tiers = field(raw, "tiers");
  if (tiers === undefined) return [];
  const defaults = entriesOf(tiers).filter(([, tier]) => isOn(field(tier, "default")));
  const [first] = defaults;
  if (first === undefined) {
    return [{ path: ["tiers"], at: "key", message: "exactly one tier must have default: true; none has" }];
  }
  return defaults.slice(1).map(([name]) => ({
    path: ["tiers", name, "default"],
    message: `exactly one tier must have default: true; ${first[0]} has it already`,
  }));
}

function checkRoutes(raw: unknown): Finding[] {
  const identity = field(raw, "identity");
  const hasCredentials = isSet(field(identity, "jwt")) || isSet(field(identity, "forwardAuth"));
  const pools = new Set(entriesOf(field(raw, "pools")).map(([name]) => name));
  const suggestions = new Suggestions(pools);
  const known = pools.size === 0 ? "" : `; there is ${listed([...pools])}`;
  return itemsOf(field(raw, "routes")).flatMap((route, index) => {
    const path = ["routes", index];
    const findings: Finding[] = repeatedNames(field(field(route, "headers"), "set"), [
      ...path,
      "headers",
      "set",
    ]);
    const pool = field(route, "pool");
    if (typeof pool === "string" && !pools.has(pool)) {
      const message = `there is no pool ${JSON.stringify(pool)}${suggestions.for(pool) || known}`;
      findings.push({ path: [...path, "pool"], message });
    }
    const auth = field(route, "auth");
    if (isSet(auth) && !hasCredentials) {
      findings.push({
        path: [...path, "auth"],
        message: "needs identity.jwt or identity.forwardAuth, to check credentials with",
      });
    }
    return findings;
  });
}

function checkPoolNames(raw: unknown): Finding[] {
  const pools = field(raw, "pools");
  const names = entriesOf(pools).map(([name]) => name);
  const [first, second] = names;
  if (pools !== undefined && names.length === 0) {
    return [
      {
        path: ["pools"],
        at: "key",
        message: 'names no pool, e.g. chat: { backends: ["ws://localhost:3000"] }',
      },
    ];
  }
  if (second === undefined || field(raw, "routes") !== undefined) return [];
  const example = `routes: [{ match: { path: "/${first}/*" }, pool: ${first} }, { pool: ${second} }]`;
  return [{ path: ["routes"], message: `is required with ${names.length} pools; add ${example}` }];
}

/** @param listStart index of the first backend that came from the backendsFile */
function checkPool(pool: unknown, path: KeyPath, listStart: number): Finding[] {
  const backends = field(pool, "backends");
  const findings = repeatedNames(field(field(pool, "healthCheck"), "headers"), [
    ...path,
    "healthCheck",
    "headers",
  ]);
  const isEmpty = backends === undefined || (Array.isArray(backends) && backends.length === 0);
  if (isEmpty && !isSet(field(pool, "backendsFile"))) {
    const message = 'has no backends: add backends: ["ws://localhost:3000"] or a backendsFile';
    findings.push({ path, at: "key", message });
  }
  const ids = new Map<string, number>();
  for (const [index, backend] of itemsOf(backends).entries()) {
    const backendPath = [...path, "backends", index];
    const url = typeof backend === "string" ? backend : field(backend, "url");
    const target = attempt(parseBackendUrl, url);
    findings.push(...checkBackendTls(backend, target, backendPath));
    const id = field(backend, "id") ?? (target === null ? undefined : defaultBackendId(target));
    if (typeof id !== "string") continue;
    const first = ids.get(id);
    if (first === undefined) {
      ids.set(id, index);
      continue;
    }
    // The list in a file knows no keys, only its own entries.
    const owner = first < listStart ? ["backends", first] : [first - listStart];
    const isAcross = first < listStart && index >= listStart;
    const ownerText = formatPath(isAcross ? [...path, ...owner] : owner);
    findings.push(duplicateId(id, ownerText, backendPath, field(backend, "id") !== undefined));
  }
  return findings;
}

function duplicateId(id: string, owner: string, path: KeyPath, isGiven: boolean): Finding {
  const advice = isGiven ? "" : "; give one of them an id of its own";
  const message = `the id ${JSON.stringify(id)} is that of ${owner} already${advice}`;
  return { path: isGiven ? [...path, "id"] : path, message };
}

function checkBackendTls(backend: unknown, target: BackendTarget | null, path: KeyPath): Finding[] {
  const tls = field(backend, "tls");
  if (!isSet(tls)) return [];
  if (target !== null && !target.secure) {
    return [{ path: [...path, "tls"], at: "key", message: "is for wss:// URLs only" }];
  }
  const hasCert = isSet(field(tls, "cert"));
  if (hasCert === isSet(field(tls, "key"))) return [];
  const [present, absent] = hasCert ? ["cert", "key"] : ["key", "cert"];
  return [{ path: [...path, "tls", present], at: "key", message: `needs ${absent} as well` }];
}

/** Header names that differ in case only would silently overwrite each other. */
function repeatedNames(headers: unknown, path: KeyPath): Finding[] {
  const seen = new Set<string>();
  return entriesOf(headers).flatMap(([name]): Finding[] => {
    const isRepeated = seen.has(name.toLowerCase());
    seen.add(name.toLowerCase());
    return isRepeated
      ? [{ path: [...path, name], at: "key", message: "is here already, in other case" }]
      : [];
  });
}
