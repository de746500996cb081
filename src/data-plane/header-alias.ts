// Names of headers that a backend may take for one another: those that see headers as variables (CGI, WSGI, PHP)
// cannot tell `X_Weir_User` or `X.Weir.User` from `X-Weir-User`.

const UNUSUAL = /[^a-z\d-]/;
const EVERY_UNUSUAL = new RegExp(UNUSUAL, "g");

/** What all of them are compared by: `-` for all but letters and digits. */
export function headerAlias(lowerName: string): string {
  return UNUSUAL.test(lowerName) ? lowerName.replaceAll(EVERY_UNUSUAL, "-") : lowerName;
}
