/** What a training measured on held-out examples, before and after. */
import { inOrder, metricLook } from "../lib/metrics";
import css from "./BeforeAfter.module.css";
import { Panel } from "./Page";

type Metrics = Readonly<Record<string, number>> | undefined;

export function BeforeAfter({ before = {}, after = {} }: { before: Metrics; after: Metrics }) {
  const names = inOrder([...Object.keys(before), ...Object.keys(after)]);
  if (names.length === 0) return null;
  const cell = (name: string, value: number | undefined) =>
    value === undefined ? "–" : metricLook(name).write(value);
  return (
    <Panel title="Held-out examples">
      <table className={css.comparison}>
        <thead>
          <tr>
            <th scope="col">Measure</th>
            <td>before</td>
            <td>after</td>
          </tr>
        </thead>
        <tbody>
          {names.map((name) => (
            <tr key={name}>
              <th scope="row">{metricLook(name).label}</th>
              <td>{cell(name, before[name])}</td>
              <td>
                <strong>{cell(name, after[name])}</strong>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Panel>
  );
}
