// Text from outside on its way to a terminal: user names and messages must neither move its cursor nor
// break its lines, and columns stay in line whatever script they are in.

/** Control characters, what turns the direction of text, separators of lines, and lone surrogates. */
const UNSAFE = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\p{Bidi_Control}]/gu;

/** Takes no room: combining marks and invisible characters. */
const WIDTH_0 = /^[\p{Mn}\p{Me}\p{Cf}]$/u;

/** Takes the room of two Latin letters. */
const WIDTH_2 =
  /^[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\u3000-\u303f\uff01-\uff60]$/u;

/** With U+FFFD for each character that a terminal might take for a command. */
export function plain(text: string): string {
  return text.replaceAll(UNSAFE, "\u{FFFD}");
}

/** Cells of a terminal that a text without control characters takes. */
export function widthOf(text: string): number {
  let width = 0;
  for (const character of text) width += widthOfCharacter(character);
  return width;
}

/** Exactly so many cells: filled up with spaces, or cut with an ellipsis. */
export function fitted(text: string, width: number, side: "left" | "right" = "left"): string {
  const cut = widthOf(text) > width ? cutTo(text, width) : text;
  const space = " ".repeat(Math.max(0, width - widthOf(cut)));
  return side === "left" ? `${cut}${space}` : `${space}${cut}`;
}

function cutTo(text: string, width: number): string {
  if (width <= 0) return "";
  let kept = "";
  let used = 0;
  for (const character of text) {
    const next = widthOfCharacter(character);
    if (used + next > width - 1) break;
    kept += character;
    used += next;
  }
  return `${kept}…`;
}

function widthOfCharacter(character: string): number {
  if (WIDTH_0.test(character)) return 0;
  return WIDTH_2.test(character) ? 2 : 1;
}
