// Request and response heads of tests, read leniently but kept byte for byte in `raw`.

export class HttpHead {
  /** Everything up to and including the empty line. */
  readonly raw: string;
  readonly startLine: string;
  /** Names as they were written, in their order, repeats included. */
  readonly headers: readonly (readonly [name: string, value: string])[];

  constructor(raw: string) {
    const [startLine = "", ...lines] = raw.split("\r\n").filter((line) => line !== "");
    this.raw = raw;
    this.startLine = startLine;
    this.headers = lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
    });
  }

  /** All values of a header, joined as HTTP joins them; undefined where there is none. */
  header(name: string): string | undefined {
    const values = this.headers.filter(([each]) => each.toLowerCase() === name.toLowerCase());
    return values.length === 0 ? undefined : values.map(([, value]) => value).join(", ");
  }

  /** Of a response. */
  get status(): number {
    return Number(this.startLine.split(" ")[1]);
  }

  /** Of a request. */
  get method(): string {
    return this.startLine.split(" ")[0] ?? "";
  }

  /** The target of a request as it was sent, e.g. `/chat?room=1`. */
  get target(): string {
    return this.startLine.split(" ")[1] ?? "";
  }
}
