/** Bytes day by day as bars. */
import { bytes } from "../lib/format";
import type { DayRow } from "../lib/quota";
import css from "./Histogram.module.css";

const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });

export function DayBars({ label, days }: { label: string; days: readonly DayRow[] }) {
  const highest = Math.max(1, ...days.map((day) => day.sizeBytes));
  const nameOf = (day: DayRow | undefined) => (day ? DAY.format(new Date(day.start)) : "");
  return (
    <figure className={css.figure}>
      <div className={css.bars} role="img" aria-label={`${label}: at most ${bytes(highest)}`}>
        {days.map((day) => (
          <div key={day.start} className={css.slot} title={`${nameOf(day)}: ${bytes(day.sizeBytes)}`}>
            <div className={css.bar} style={{ height: `${(100 * day.sizeBytes) / highest}%` }} />
          </div>
        ))}
      </div>
      <div className={css.ends}>
        <span>{nameOf(days[0])}</span>
        {days.length > 1 && <span>{nameOf(days.at(-1))}</span>}
      </div>
    </figure>
  );
}
