/** Switches between light and dark; the choice is kept. */
import { useComputedColorScheme, useMantineColorScheme } from "@mantine/core";
import { Icon } from "../components/icons";
import css from "./Shell.module.css";

export function ColorSchemeButton() {
  // Without keepTransitions the library writes a <style> element, which the CSP forbids.
  const { setColorScheme } = useMantineColorScheme({ keepTransitions: true });
  const dark = useComputedColorScheme("light") === "dark";
  const label = dark ? "Use light colours" : "Use dark colours";
  return (
    <button
      type="button"
      className={css.button}
      onClick={() => setColorScheme(dark ? "light" : "dark")}
      aria-label={label}
      title={label}
    >
      <Icon name={dark ? "sun" : "moon"} />
    </button>
  );
}
