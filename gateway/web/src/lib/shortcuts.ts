/** Every key that does something, in one table: pages bind their actions to it and the help shows it, so neither can lie. */

interface Shortcut {
  /** `KeyboardEvent.key`. */
  key: string;
  /** Keys of the same place, and those of everywhere, must differ. */
  where: "Everywhere" | "Grid of examples" | "One example";
  does: string;
}

export const SHORTCUTS = {
  help: { key: "?", where: "Everywhere", does: "Show these keys" },
  search: { key: "/", where: "Grid of examples", does: "Search the texts" },
  left: { key: "ArrowLeft", where: "Grid of examples", does: "One to the left" },
  right: { key: "ArrowRight", where: "Grid of examples", does: "One to the right" },
  up: { key: "ArrowUp", where: "Grid of examples", does: "One row up" },
  down: { key: "ArrowDown", where: "Grid of examples", does: "One row down" },
  first: { key: "Home", where: "Grid of examples", does: "The first example" },
  last: { key: "End", where: "Grid of examples", does: "The last example" },
  open: { key: "Enter", where: "Grid of examples", does: "Open it" },
  previous: { key: "ArrowLeft", where: "One example", does: "The one before" },
  next: { key: "ArrowRight", where: "One example", does: "The one after" },
  edit: { key: "e", where: "One example", does: "Edit its last text, in a draft" },
  split: { key: "s", where: "One example", does: "Move it to the next split" },
  tags: { key: "t", where: "One example", does: "Edit its tags" },
  remove: { key: "x", where: "One example", does: "Delete it, or keep it after all" },
  close: { key: "Escape", where: "One example", does: "Back to the grid" },
} as const satisfies Record<string, Shortcut>;

export type ShortcutName = keyof typeof SHORTCUTS;

const WORDS: Readonly<Record<string, string>> = {
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  Escape: "Esc",
};

/** What stands on the key. */
export function keyLabel(key: string): string {
  return WORDS[key] ?? key;
}

/** The table by place, in its order. */
export function shortcutGroups(): [string, Shortcut[]][] {
  const groups = new Map<string, Shortcut[]>();
  for (const shortcut of Object.values(SHORTCUTS))
    groups.set(shortcut.where, [...(groups.get(shortcut.where) ?? []), shortcut]);
  return [...groups];
}

/** The action of `actions` that the key stands for, if any. */
export function actionOf<Name extends ShortcutName>(
  key: string,
  actions: Partial<Record<Name, () => void>>,
): (() => void) | undefined {
  const name = (Object.keys(actions) as Name[]).find((each) => SHORTCUTS[each].key === key);
  return name && actions[name];
}
