/** JSON objects as trees of fields, and their names in the contracts. */

export type Tree = Record<string, unknown>;

export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function snake(camel: string): string {
  return camel.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Removes the value at `path` and returns it. */
export function take(tree: Tree, [key = "", ...below]: readonly string[]): unknown {
  const value = tree[key];
  if (below.length > 0) return isTree(value) ? take(value, below) : undefined;
  Reflect.deleteProperty(tree, key);
  return value;
}

/** Without what is empty. */
export function pruned(tree: Tree): Tree {
  const kept = Object.entries(tree)
    .map(([key, value]) => [key, isTree(value) ? pruned(value) : value] as const)
    .filter(([, value]) => value !== undefined && !(isTree(value) && Object.keys(value).length === 0));
  return Object.fromEntries(kept);
}
