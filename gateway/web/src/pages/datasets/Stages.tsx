/** The steps of something long, and which of them it is at. */
import { Icon } from "../../components/icons";
import css from "./datasets.module.css";

interface StagesProps {
  labels: readonly string[];
  /** Index of the current step; the number of labels when all are done. */
  current: number;
  failed: boolean;
}

export function Stages({ labels, current, failed }: StagesProps) {
  const stateOf = (index: number) => {
    if (index < current) return "done";
    if (index > current) return "next";
    return failed ? "failed" : "now";
  };
  return (
    <ol className={css.stages}>
      {labels.map((label, index) => (
        <li key={label} data-state={stateOf(index)} aria-current={index === current ? "step" : undefined}>
          {index < current && <Icon name="check" size={12} />}
          {label}
        </li>
      ))}
    </ol>
  );
}
