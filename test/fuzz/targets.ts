// The targets by name, each in the file of that name.

export const TARGETS = [
  "upgrade-head",
  "frames",
  "backend-answer",
  "proxy-header",
  "configuration-text",
  "configuration-data",
  "header-values",
  "refused-client",
] as const;

export function targetUrl(name: (typeof TARGETS)[number]): string {
  return new URL(`./targets/${name}.ts`, import.meta.url).href;
}
