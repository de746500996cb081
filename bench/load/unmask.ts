// Unmasking (RFC 6455 §5.3), a word at a time where the payload lies so: a byte at a time would make
// the backend of the bench dearer than the proxies it measures.

const NOTHING = Buffer.alloc(0);

export class Unmasker {
  /** The masking key as a little-endian word, turned to start with the byte for the next payload byte. */
  key = 0;
  #bytes: Buffer = NOTHING;
  #words: Int32Array | null = null;

  /** Names the buffer that the next calls of `unmask` work in. */
  enter(buffer: Buffer): void {
    this.#bytes = buffer;
    const isAligned = (buffer.byteOffset & 3) === 0;
    this.#words = isAligned ? new Int32Array(buffer.buffer, buffer.byteOffset, buffer.length >> 2) : null;
  }

  /** Moves `length` bytes from `from` to `to`, which is not behind it, and unmasks them. */
  unmask(from: number, to: number, length: number): void {
    const words = ((from - to) & 3) === 0 ? this.#words : null;
    if (words === null || length < 8) {
      this.#unmaskBytes(from, to, length);
      return;
    }
    const head = -from & 3;
    this.#unmaskBytes(from, to, head);
    const start = (from + head) >> 2;
    const end = (from + length) >> 2;
    const shift = (from - to) >> 2;
    const { key } = this;
    for (let i = start; i < end; i++) words[i - shift] = (words[i] ?? 0) ^ key;
    const done = end * 4 - from;
    this.#unmaskBytes(from + done, to + done, length - done);
  }

  #unmaskBytes(from: number, to: number, length: number): void {
    const bytes = this.#bytes;
    let { key } = this;
    for (let i = 0; i < length; i++) {
      bytes[to + i] = (bytes[from + i] ?? 0) ^ (key & 0xff);
      key = (key >>> 8) | (key << 24);
    }
    this.key = key;
  }
}
