/** Binds actions to their keys for as long as a component is shown. */
import { useEffect, useEffectEvent } from "react";
import { actionOf, type ShortcutName } from "../lib/shortcuts";

const TYPING = "input, textarea, select, [contenteditable]";

/** Not while something is typed, nor with Ctrl, Alt or Meta, which belong to the browser. */
export function useShortcuts(actions: Partial<Record<ShortcutName, () => void>>): void {
  const press = useEffectEvent((event: KeyboardEvent) => {
    const typing = event.target instanceof Element && event.target.closest(TYPING);
    if (typing || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const act = actionOf(event.key, actions);
    if (!act) return;
    event.preventDefault();
    act();
  });
  useEffect(() => {
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, []);
}
