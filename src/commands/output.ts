// Where a command's words go: what was asked for to standard output, all else to standard error.

export interface Output {
  /** A line of what was asked for. */
  readonly print: (line: string) => void;
  /** A line that a script need not read. */
  readonly complain: (line: string) => void;
}
