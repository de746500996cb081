// `${NAME}`, `${NAME:-default}` and `${file:/path}` inside strings of the configuration.
// Where the environment and the files come from is the caller's business.

export interface SubstitutionSource {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Throws if the file cannot be read. */
  readonly readFile: (path: string) => string;
}

/** A reference that cannot be filled in; the message names it, never a value. */
export class SubstitutionError extends Error {
  override name = "SubstitutionError";
}

const REFERENCE = /\$\{([^}]*)\}?/g;
const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** True if the text holds a reference, well-formed or not. */
export function hasReference(text: string): boolean {
  return text.includes("${");
}

/**
 * Fills in every reference of one string. What is filled in is not looked at again, so a secret that
 * happens to contain `${` stays as it is.
 *
 * @throws SubstitutionError at the first reference that is malformed or missing
 */
export function substitute(text: string, source: SubstitutionSource): string {
  return text.replaceAll(REFERENCE, (whole, inner: string) => {
    if (!whole.endsWith("}")) throw new SubstitutionError(`"\${" without its closing "}"`);
    return inner.startsWith("file:")
      ? readSecret(inner.slice("file:".length), source)
      : readVariable(inner, source);
  });
}

function readVariable(inner: string, { env }: SubstitutionSource): string {
  const separator = inner.indexOf(":-");
  const name = separator < 0 ? inner : inner.slice(0, separator);
  if (!NAME.test(name)) {
    throw new SubstitutionError(
      `\${${inner}} is not a reference: write \${NAME}, \${NAME:-default} or \${file:/path}`,
    );
  }
  // As in a shell, `:-` also stands in for a variable that is set but empty.
  const value = Object.hasOwn(env, name) ? env[name] : undefined;
  if (separator >= 0) return value === undefined || value === "" ? inner.slice(separator + 2) : value;
  if (value === undefined) {
    throw new SubstitutionError(
      `the environment variable ${name} is not set; \${${name}:-default} gives it a default`,
    );
  }
  return value;
}

/** Secrets in files end in a newline more often than not; it is never part of the secret. */
function readSecret(path: string, source: SubstitutionSource): string {
  if (path === "") throw new SubstitutionError("${file:} names no file: write ${file:/path}");
  try {
    return source.readFile(path).replace(/\r?\n$/, "");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SubstitutionError(`cannot read \${file:${path}}: ${reason}`, { cause });
  }
}
