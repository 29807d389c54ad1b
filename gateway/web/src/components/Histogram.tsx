/** A distribution: its figures and its bars. */
import { Link } from "react-router";
import type { Distribution } from "../api/types";
import { count, int, measure } from "../lib/format";
import css from "./Histogram.module.css";

export function Histogram({ title, of }: { title: string; of: Distribution | undefined }) {
  const bins = of?.histogram ?? [];
  const highest = Math.max(1, ...bins.map((bin) => int(bin.count)));
  return (
    <figure className={css.figure}>
      <figcaption className={css.caption}>
        <span>{title}</span>
        <span className="muted">
          median {measure(of?.median ?? 0)} · mean {measure(of?.mean ?? 0)}
        </span>
      </figcaption>
      <div
        className={css.bars}
        role="img"
        aria-label={`${title}: from ${measure(of?.min ?? 0)} to ${measure(of?.max ?? 0)}, median ${measure(of?.median ?? 0)}`}
      >
        {bins.map((bin) => (
          <div
            key={bin.lower ?? 0}
            className={css.slot}
            title={`${measure(bin.lower ?? 0)} – ${measure(bin.upper ?? 0)}: ${count(bin.count)}`}
          >
            <div className={css.bar} style={{ height: `${(100 * int(bin.count)) / highest}%` }} />
          </div>
        ))}
      </div>
      <div className={css.ends}>
        <span>{measure(of?.min ?? 0)}</span>
        <span>{measure(of?.max ?? 0)}</span>
      </div>
    </figure>
  );
}

interface CountBarsProps {
  label: string;
  rows: readonly (readonly [string, number])[];
  /** Where a name leads. */
  linkOf?: (name: string) => string;
}

/** Counts by name as horizontal bars. */
export function CountBars({ label, rows, linkOf }: CountBarsProps) {
  const highest = Math.max(1, ...rows.map(([, value]) => value));
  return (
    <ul className={css.counts} aria-label={label}>
      {rows.map(([name, value]) => (
        <li key={name}>
          <span className={css.name} title={name}>
            {linkOf ? <Link to={linkOf(name)}>{name || "(empty)"}</Link> : name || "(empty)"}
          </span>
          <span className={css.track}>
            <span className={css.fill} style={{ width: `${(100 * value) / highest}%` }} />
          </span>
          <span className={css.value}>{count(value)}</span>
        </li>
      ))}
    </ul>
  );
}
