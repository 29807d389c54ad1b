/** The little markdown that proto comments use: paragraphs, lists, `code`, [links](…). */
import { Fragment, type ReactNode } from "react";
import css from "./Prose.module.css";

export function Prose({ text }: { text: string }) {
  if (text === "") return null;
  return (
    <div className={css.prose}>
      {text
        .trim()
        .split(/\n{2,}/)
        .map((block, index) => (
          <Block key={index} text={block} />
        ))}
    </div>
  );
}

function Block({ text }: { text: string }) {
  const lines = text.split("\n");
  const first = lines.findIndex((line) => line.startsWith("- "));
  if (first < 0) return <p>{inline(text)}</p>;
  return (
    <>
      {first > 0 && <p>{inline(lines.slice(0, first).join(" "))}</p>}
      <ul>
        {lines.slice(first).map((line) => (
          <li key={line}>{inline(line.replace(/^- /, ""))}</li>
        ))}
      </ul>
    </>
  );
}

const PIECE = /(`[^`]+`|\[[^\]]+\]\(https?:[^)]+\))/;

function inline(text: string): ReactNode {
  return text.split(PIECE).map((piece, index) => {
    if (piece.startsWith("`")) return <code key={index}>{piece.slice(1, -1)}</code>;
    const link = /^\[([^\]]+)\]\((https?:[^)]+)\)$/.exec(piece);
    if (!link) return <Fragment key={index}>{piece}</Fragment>;
    return (
      <a key={index} href={link[2]} rel="noreferrer">
        {link[1]}
      </a>
    );
  });
}
