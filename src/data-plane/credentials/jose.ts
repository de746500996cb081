// Loads the library for tokens, only where there are some: each thread would pay for it at its start.

type Jose = typeof import("jose");

let jose: Promise<Jose> | null = null;

export function loadJose(): Promise<Jose> {
  jose ??= import("jose");
  return jose;
}
