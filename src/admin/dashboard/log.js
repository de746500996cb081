// The live log, newest first. A filter asks Weir for what is older than the page; what comes after that is
// filtered here, by the same rules: the least level, and the text anywhere in the entry.

import { request } from "./admin-api.js";
import { byId, element } from "./elements.js";
import { timeOfDay } from "./format.js";

/** @typedef {import("./stream-message.d.ts").LogEntry} LogEntry */

const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"];
const SHOWN_ENTRIES = 300;
const TYPING_MS = 250;
/** What an entry is shown by already. */
const OWN_FIELDS = new Set(["id", "time", "level", "message"]);

export class Log {
  #list = byId("log");
  #empty = byId("log-empty");
  #level = byId("log-level", HTMLSelectElement);
  #search = byId("log-search", HTMLInputElement);
  #pause = byId("log-pause", HTMLButtonElement);
  /** While the list stands still: what comes is fetched when it goes on. */
  #isPaused = false;
  /** Id of the newest entry that was shown or filtered out. */
  #lastId = 0;
  /** What the stream brought last, since an answer under way does not have it yet. @type {LogEntry[]} */
  #recent = [];
  /** Of the request under way: an older one's answer comes too late. */
  #query = 0;
  #onError;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #typing;

  /** @param {(message: string) => void} onError */
  constructor(onError) {
    this.#onError = onError;
    this.#level.addEventListener("change", () => void this.#reload());
    this.#search.addEventListener("input", () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => void this.#reload(), TYPING_MS);
    });
    byId("log-filters").addEventListener("submit", (event) => event.preventDefault());
    this.#pause.addEventListener("click", () => this.#setPaused(!this.#isPaused));
  }

  /** A stream begins: it tells everything again, and ids start anew where Weir did. */
  restart() {
    this.#lastId = 0;
    this.#recent = [];
    if (!this.#isPaused) this.#list.replaceChildren();
  }

  /** @param {readonly LogEntry[]} entries newest last */
  add(entries) {
    this.#recent = [...this.#recent, ...entries].slice(-SHOWN_ENTRIES);
    if (!this.#isPaused) this.#show(entries);
  }

  /** @param {readonly LogEntry[]} entries newest last */
  #show(entries) {
    for (const entry of entries) {
      if (entry.id <= this.#lastId) continue;
      this.#lastId = entry.id;
      if (this.#fits(entry)) this.#list.prepend(lineOf(entry));
    }
    while (this.#list.children.length > SHOWN_ENTRIES) this.#list.lastElementChild?.remove();
    this.#empty.hidden = this.#list.children.length > 0;
  }

  /** @param {boolean} isPaused */
  #setPaused(isPaused) {
    this.#isPaused = isPaused;
    this.#pause.ariaPressed = String(isPaused);
    this.#pause.textContent = isPaused ? "Go on" : "Pause";
    if (!isPaused) void this.#reload();
  }

  async #reload() {
    this.#query += 1;
    const query = this.#query;
    const parameters = new URLSearchParams({ limit: String(SHOWN_ENTRIES) });
    if (this.#level.value !== "") parameters.set("level", this.#level.value);
    if (this.#search.value !== "") parameters.set("q", this.#search.value);
    try {
      const { entries } = await request("GET", `api/logs?${parameters}`);
      if (query !== this.#query) return;
      this.#lastId = 0;
      this.#list.replaceChildren();
      this.#show(entries);
      if (!this.#isPaused) this.#show(this.#recent);
    } catch (error) {
      this.#onError(error instanceof Error ? error.message : String(error));
    }
  }

  /** @param {LogEntry} entry */
  #fits(entry) {
    const least = this.#level.value;
    if (least !== "" && LEVELS.indexOf(entry.level) < LEVELS.indexOf(least)) return false;
    const wanted = JSON.stringify(this.#search.value).slice(1, -1).toLowerCase();
    return wanted === "" || JSON.stringify(entry).toLowerCase().includes(wanted);
  }
}

/** @param {LogEntry} entry */
function lineOf(entry) {
  const time = element("time", "muted", timeOfDay(entry.time));
  time.dateTime = entry.time;
  time.title = entry.time;
  const level = element("span", "level", entry.level);
  const text = element("div", "entry", element("span", "message", entry.message));
  for (const [name, value] of Object.entries(entry)) {
    if (!OWN_FIELDS.has(name))
      text.append(" ", element("span", "field", element("i", "", `${name}=`), valueText(value)));
  }
  const node = element("li", "", time, level, text);
  node.dataset["level"] = entry.level;
  return node;
}

/** @param {unknown} value */
function valueText(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}
