// A terminal's text with its colours as a page, to be photographed.

/** What SGR codes mean, as far as Weir writes them. */
const CLASSES: Readonly<Record<string, string>> = {
  "1": "bold",
  "2": "dim",
  "7": "inverse",
  "31": "red",
  "32": "green",
  "33": "yellow",
  "34": "blue",
  "35": "magenta",
  "36": "cyan",
  "90": "dim",
};

// oxlint-disable-next-line no-control-regex
const SGR = /\u001b\[([\d;]*)m/;

const STYLE = `
  body { margin: 0; background: #12161c; }
  pre { display: inline-block; margin: 0; padding: 22px 26px; color: #d6dde6; background: #12161c;
    font: 14px/1.4 "DejaVu Sans Mono", "Liberation Mono", monospace; }
  .bold { font-weight: 700; color: #fff; } .dim { color: #8593a3; } .inverse { color: #12161c; background: #d6dde6; }
  .red { color: #ff7b72; } .green { color: #56d08f; } .yellow { color: #eab55a; }
  .blue { color: #79a8ff; } .magenta { color: #d2a8ff; } .cyan { color: #56cfd6; }
`;

export function terminalPage(lines: readonly string[]): string {
  return `<!doctype html><meta charset="utf-8"><style>${STYLE}</style><pre>${lines.map(toHtml).join("\n")}</pre>`;
}

function toHtml(line: string): string {
  const [first = "", ...rest] = line.split(SGR);
  let classes: string[] = [];
  let html = escaped(first);
  // A code and the text behind it, in turns.
  for (let i = 0; i < rest.length; i += 2) {
    for (const code of (rest[i] ?? "").split(";")) {
      const name = CLASSES[code];
      if (name === undefined) classes = [];
      else classes.push(name);
    }
    const text = escaped(rest[i + 1] ?? "");
    html += classes.length === 0 ? text : `<span class="${classes.join(" ")}">${text}</span>`;
  }
  return html;
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
