/** Keeps the API key for as long as the tab lives. sessionStorage: another site cannot read it, closing the tab forgets it. */

const KEY = "visiontune.key";
const listeners = new Set<() => void>();
let farewell = "";

export function apiKey(): string {
  return sessionStorage.getItem(KEY) ?? "";
}

export function beginSession(key: string): void {
  farewell = "";
  sessionStorage.setItem(KEY, key);
  tell();
}

/** Forgets the key. `reason` is shown where the next one is asked for. */
export function endSession(reason = ""): void {
  farewell = reason;
  sessionStorage.removeItem(KEY);
  tell();
}

/** Why the last session ended; empty when the user ended it. */
export function farewellReason(): string {
  return farewell;
}

export function onSession(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell(): void {
  for (const listener of listeners) listener();
}
