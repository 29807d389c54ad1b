/** Several lines to paste elsewhere, with a button that copies them. */
import { Copyable } from "./Copyable";
import css from "./CodeBlock.module.css";

export function CodeBlock({ label, text }: { label: string; text: string }) {
  return (
    <figure className={css.block}>
      <figcaption>
        {label} <Copyable value={text} shown="copy" brief />
      </figcaption>
      {/* Reached by keys too, since it scrolls sideways. */}
      <pre tabIndex={0} aria-label={label}>
        {text}
      </pre>
    </figure>
  );
}
