// The error listener of a socket that nobody else listens to: without one, an error would end the thread.
// What an error means for whom the socket serves is told by the `close` that follows it.

export function ignoreError(): void {}
