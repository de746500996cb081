// Reads the head of a 1xx answer: the one kind of HTTP message that has no body, so that where it ends
// cannot be argued about. Anything else is left to a full HTTP parser.

/** What such an answer begins with. */
export const INFORMATIONAL_PREFIX = "HTTP/1.1 1";

const END_OF_HEAD = "\r\n\r\n";

/** RFC 9112 §4: the reason phrase may be empty, and sloppy servers leave out the space before it. */
const STATUS_LINE = /^HTTP\/1\.1 (1\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;

/** RFC 9110 §5: a token, a colon, and a value of visible characters; no folding, no bare CR, LF or NUL. */
const HEADER_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*([\t\x20-\x7e\x80-\xff]*)$/;

export interface ResponseHead {
  readonly statusCode: number;
  /** Name, value, name, value …, as Node gives them. */
  readonly rawHeaders: readonly string[];
  /** Offset of the first byte behind the head. */
  readonly end: number;
}

/** The head that `bytes` begins with; null while it is not whole, `malformed` where it breaks the grammar. */
export function parseInformationalHead(bytes: Buffer): ResponseHead | "malformed" | null {
  const end = bytes.indexOf(END_OF_HEAD);
  if (end === -1) return null;
  const [statusLine = "", ...lines] = bytes.toString("latin1", 0, end).split("\r\n");
  const status = STATUS_LINE.exec(statusLine);
  if (status === null) return "malformed";
  const rawHeaders: string[] = [];
  for (const line of lines) {
    const header = HEADER_LINE.exec(line);
    if (header === null) return "malformed";
    rawHeaders.push(header[1] ?? "", (header[2] ?? "").trimEnd());
  }
  return { statusCode: Number(status[1]), rawHeaders, end: end + END_OF_HEAD.length };
}
