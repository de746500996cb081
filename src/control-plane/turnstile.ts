// Lets a bounded number of things be under way at once; the others wait for their turn in order.

export class Turnstile<Item> {
  readonly #size: number;
  readonly #onTurn: (item: Item) => void;
  readonly #inside = new Set<Item>();
  readonly #waiting = new Set<Item>();

  /** @param onTurn called once for each item that enters, at once or later */
  constructor(size: number, onTurn: (item: Item) => void) {
    this.#size = size;
    this.#onTurn = onTurn;
  }

  enter(item: Item): void {
    this.#waiting.add(item);
    this.#serve();
  }

  /** The item is done, or does not want its turn any more. */
  leave(item: Item): void {
    this.#waiting.delete(item);
    if (this.#inside.delete(item)) this.#serve();
  }

  #serve(): void {
    for (const item of this.#waiting) {
      if (this.#inside.size >= this.#size) return;
      this.#waiting.delete(item);
      this.#inside.add(item);
      this.#onTurn(item);
    }
  }
}
