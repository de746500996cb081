// Reads one cookie out of a Cookie header, and takes cookies out of it. It decides nothing about what the
// value is good for.

/**
 * The value of the first cookie of this name (RFC 6265 §5.4 sends the one with the most specific path
 * first), without quotes and percent-decoded, as most servers write it. Null where there is none, and
 * where an escape of its is no UTF-8.
 *
 * @param header all Cookie lines, joined by `;`
 */
export function cookieValue(header: string, name: string): string | null {
  const [first] = cookieValues(header, name);
  return first ?? null;
}

/** The values of all cookies of this name, each as `cookieValue` has it. */
export function* cookieValues(header: string, name: string): Iterable<string | null> {
  for (const pair of header.split(";")) {
    const equals = pair.indexOf("=");
    if (equals === -1 || pair.slice(0, equals).trim() !== name) continue;
    yield decode(withoutQuotes(pair.slice(equals + 1).trim()));
  }
}

/** A Cookie line without the cookies of these names; null where nothing is left of it. */
export function withoutCookies(line: string, names: ReadonlySet<string>): string | null {
  if (names.size === 0) return line;
  const isNamed = (pair: string): boolean => names.has(pair.slice(0, Math.max(0, pair.indexOf("="))).trim());
  const pairs = line.split(";");
  if (!pairs.some(isNamed)) return line;
  const kept = pairs.filter((pair) => pair.trim() !== "" && !isNamed(pair));
  return kept.length === 0 ? null : kept.join(";").trim();
}

function withoutQuotes(value: string): string {
  return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}

function decode(value: string): string | null {
  if (!value.includes("%")) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return null;
  }
}
