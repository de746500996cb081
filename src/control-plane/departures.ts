// Sends the connections of a backend away: of one that was taken from the list, drained or set down by
// hand, or found dead. Spread over time, so that the clients do not come back all at once.

import type { CloseOrder } from "../shared-memory/channel.ts";
import type { Backend } from "./backend.ts";

const TICK_MS = 50;

export interface Departure {
  readonly reason: Extract<CloseOrder, "backend_draining" | "backend_lost">;
  /** Milliseconds in which clients may leave by themselves. */
  readonly graceMs: number;
  /** Milliseconds after that over which the closes are spread; 0: all at once. */
  readonly spreadMs: number;
}

interface Running {
  readonly departure: Departure;
  readonly startedAtMs: number;
  /** How many there were when the grace was over. */
  total: number | null;
  readonly told: WeakSet<object>;
}

interface DeparturesOptions<Place> {
  /** Connections that are open on the backend. */
  readonly openOn: (backend: Backend) => readonly Place[];
  readonly close: (place: Place, reason: CloseOrder) => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

export class Departures<Place extends object> {
  readonly #options: DeparturesOptions<Place>;
  readonly #running = new Map<Backend, Running>();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: DeparturesOptions<Place>) {
    this.#options = options;
  }

  /** Those that are still being dialled follow once they are open. One that runs already is replaced. */
  begin(backend: Backend, departure: Departure): void {
    if (backend.connections === 0) return;
    const told = this.#running.get(backend)?.told ?? new WeakSet<object>();
    this.#running.set(backend, { departure, startedAtMs: this.#options.now(), total: null, told });
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
    this.#tick();
  }

  /** The backend is back: whoever is still there stays. */
  cancel(backend: Backend): void {
    this.#running.delete(backend);
    this.#stopIfIdle();
  }

  stop(): void {
    this.#running.clear();
    this.#stopIfIdle();
  }

  #tick(): void {
    const nowMs = this.#options.now();
    for (const [backend, running] of this.#running) {
      if (backend.connections === 0) this.#running.delete(backend);
      else this.#advance(backend, running, nowMs);
    }
    this.#stopIfIdle();
  }

  /** Closes so many that at any moment the share of those left is the share of the time left. */
  #advance(backend: Backend, running: Running, nowMs: number): void {
    const { departure, startedAtMs, told } = running;
    const elapsedMs = nowMs - startedAtMs - departure.graceMs;
    if (elapsedMs < 0) return;
    const staying = this.#options.openOn(backend).filter((place) => !told.has(place));
    running.total ??= staying.length;
    const share = departure.spreadMs === 0 ? 1 : Math.min(1, (elapsedMs + TICK_MS) / departure.spreadMs);
    const mayStay = share === 1 ? 0 : Math.ceil(running.total * (1 - share));
    for (const place of staying.slice(0, Math.max(0, staying.length - mayStay))) {
      told.add(place);
      this.#options.close(place, departure.reason);
    }
  }

  #stopIfIdle(): void {
    if (this.#running.size > 0 || this.#timer === null) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
