// Reading a raw configuration that may be wrong anywhere: what is not of the expected kind reads as empty.

export function field(value: unknown, key: string): unknown {
  return isMapping(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

export function entriesOf(value: unknown): [string, unknown][] {
  return isMapping(value) ? Object.entries(value) : [];
}

export function itemsOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The key is there and not off. */
export function isSet(value: unknown): boolean {
  return value !== undefined && value !== "off" && value !== false;
}

export function isOn(value: unknown): boolean {
  return value === true || value === "on" || value === "true";
}
