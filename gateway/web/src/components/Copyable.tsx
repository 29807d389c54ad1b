/** The head of a digest or an id; a click copies the whole. */
import { Tooltip } from "@mantine/core";
import { useState } from "react";
import { Icon } from "./icons";
import css from "./Copyable.module.css";

interface CopyProps {
  /** What is copied. */
  value: string;
  /** What is shown; the value when absent. */
  shown?: string;
  /** Without the value in the hint: it is long, and shown beside. */
  brief?: boolean;
}

export function Copyable({ value, shown = value, brief = false }: CopyProps) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(value);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <Tooltip label={copied ? "Copied" : brief ? "Copy" : `Copy ${value}`} multiline maw={420} openDelay={300}>
      <button type="button" className={css.copy} onClick={() => void copy()}>
        <code>{shown}</code>
        <span className="visually-hidden">copy</span>
        <Icon name={copied ? "check" : "copy"} size={12} />
      </button>
    </Tooltip>
  );
}
