/** Lines over steps, as one SVG that fits its box. Move along it, or focus it and use the arrow keys, to read values. */
import { useElementSize } from "@mantine/hooks";
import { useState, type KeyboardEvent, type PointerEvent } from "react";
import { measure } from "../lib/format";
import type { Sample } from "../lib/history";
import { extent, linear, nearest, rounded, ticks } from "../lib/scale";
import css from "./LineChart.module.css";

export interface Line {
  name: string;
  samples: readonly Sample[];
  /** One of the chart colours of the theme. */
  color: "--chart-1" | "--chart-2" | "--chart-3" | "--chart-4" | "--chart-5" | "--chart-6";
}

interface LineChartProps {
  title: string;
  lines: readonly Line[];
  format?: (value: number) => string;
  /** Last step of the x axis, so that charts beside each other agree. */
  lastStep: number;
  /** Range that the y axis has at least. */
  range?: readonly number[];
}

const HEIGHT = 220;
const MARGIN = { top: 8, right: 12, bottom: 24, left: 48 };
const MARKED = 40;
const Y_TICKS = 4;

export function LineChart({ title, lines, format = measure, lastStep, range = [] }: LineChartProps) {
  const { ref, width } = useElementSize();
  const [at, setAt] = useState<number>();
  const drawn = lines.filter((line) => line.samples.length > 0);
  const steps = [...new Set(drawn.flatMap((line) => line.samples.map((sample) => sample.x)))].sort(
    (a, b) => a - b,
  );
  const [left, right] = [0, Math.max(1, lastStep)];
  const values = drawn.flatMap((line) => line.samples.map((sample) => sample.y));
  const [low, high] = rounded(extent([...values, ...range]), Y_TICKS);
  const x = linear(left, right, MARGIN.left, Math.max(MARGIN.left + 1, width - MARGIN.right));
  const y = linear(low, high, HEIGHT - MARGIN.bottom, MARGIN.top);

  const point = (event: PointerEvent<SVGSVGElement>) => {
    const offset = event.clientX - event.currentTarget.getBoundingClientRect().left;
    const share = (offset - MARGIN.left) / Math.max(1, width - MARGIN.left - MARGIN.right);
    setAt(steps[nearest(steps, left + share * (right - left))]);
  };
  const step = (event: KeyboardEvent) => {
    const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const index = at === undefined ? steps.length - 1 : nearest(steps, at) + move;
    setAt(steps[Math.min(steps.length - 1, Math.max(0, index))]);
  };

  return (
    <figure className={css.figure}>
      <figcaption className={css.caption}>
        <strong>{title}</strong>
        <Legend lines={drawn} at={at} format={format} />
      </figcaption>
      <div ref={ref} className={css.box}>
        {width > 0 && drawn.length > 0 && (
          <svg
            width={width}
            height={HEIGHT}
            role="img"
            tabIndex={0}
            aria-label={summary(title, drawn, format)}
            onPointerMove={point}
            onPointerLeave={() => setAt(undefined)}
            onKeyDown={step}
          >
            {ticks(low, high, Y_TICKS).map((tick) => (
              <g key={tick}>
                <line
                  className={css.grid}
                  x1={MARGIN.left}
                  x2={width - MARGIN.right}
                  y1={y(tick)}
                  y2={y(tick)}
                />
                <text className={css.tick} x={MARGIN.left - 8} y={y(tick)} dy="0.32em" textAnchor="end">
                  {format(tick)}
                </text>
              </g>
            ))}
            {ticks(left, right, Math.max(2, width / 110)).map((tick) => (
              <text key={tick} className={css.tick} x={x(tick)} y={HEIGHT - 6} textAnchor="middle">
                {measure(tick)}
              </text>
            ))}
            {at !== undefined && (
              <line
                className={css.cursor}
                x1={x(at)}
                x2={x(at)}
                y1={MARGIN.top}
                y2={HEIGHT - MARGIN.bottom}
              />
            )}
            {drawn.map((line) => (
              <g key={line.name} style={{ color: `var(${line.color})` }}>
                <polyline
                  className={css.line}
                  points={line.samples.map((sample) => `${x(sample.x)},${y(sample.y)}`).join(" ")}
                />
                {line.samples
                  .filter((sample) => sample.x === at || line.samples.length <= MARKED)
                  .map((sample) => (
                    <circle key={sample.x} className={css.dot} cx={x(sample.x)} cy={y(sample.y)} r={2.5} />
                  ))}
              </g>
            ))}
          </svg>
        )}
        {drawn.length === 0 && <p className={css.none}>Nothing measured yet.</p>}
      </div>
    </figure>
  );
}

interface LegendProps {
  lines: readonly Line[];
  at: number | undefined;
  format: (value: number) => string;
}

function Legend({ lines, at, format }: LegendProps) {
  return (
    <span className={css.legend}>
      {at !== undefined && <span className="muted">step {measure(at)}</span>}
      {lines.map((line) => {
        const sample = at === undefined ? line.samples.at(-1) : line.samples.find(({ x }) => x === at);
        return (
          <span key={line.name}>
            <span className={css.swatch} style={{ background: `var(${line.color})` }} aria-hidden="true" />
            {line.name} <strong>{sample ? format(sample.y) : "–"}</strong>
          </span>
        );
      })}
    </span>
  );
}

function summary(title: string, lines: readonly Line[], format: (value: number) => string): string {
  const parts = lines.map(({ name, samples }) => {
    const [first, last] = [samples[0], samples.at(-1)];
    return first && last
      ? `${name} from ${format(first.y)} at step ${first.x} to ${format(last.y)} at step ${last.x}`
      : "";
  });
  return `${title}: ${parts.join("; ")}`;
}
