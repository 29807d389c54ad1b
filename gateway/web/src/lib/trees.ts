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

/** The value at `path`. */
export function at(tree: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((below, key) => (isTree(below) ? below[key] : undefined), tree);
}

/** Sets the value at `path`. */
export function put(tree: Tree, [key = "", ...below]: readonly string[], value: unknown): void {
  if (below.length === 0) tree[key] = value;
  else put((tree[key] ??= {}) as Tree, below, value);
}

/** Two trees as one; where both have a value, `above` wins. */
export function over(below: Tree, above: object): Tree {
  const merged = { ...below };
  for (const [key, value] of Object.entries(above)) {
    const under = merged[key];
    merged[key] = isTree(under) && isTree(value) ? over(under, value) : value;
  }
  return merged;
}

/** Without what is empty. */
export function pruned(tree: Tree): Tree {
  const kept = Object.entries(tree)
    .map(([key, value]) => [key, isTree(value) ? pruned(value) : value] as const)
    .filter(([, value]) => value !== undefined && !(isTree(value) && Object.keys(value).length === 0));
  return Object.fromEntries(kept);
}
