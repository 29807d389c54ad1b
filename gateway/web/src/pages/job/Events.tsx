/** What happened to a job, newest first. */
import type { JobEvent } from "../../api/types";
import { Panel } from "../../components/Page";
import { Empty } from "../../components/states";
import { clock, int, moment } from "../../lib/format";
import css from "./job.module.css";

export function Events({ events }: { events: readonly JobEvent[] }) {
  if (events.length === 0) return <Empty title="Nothing has happened yet" />;
  return (
    <Panel flush>
      <ol className={css.events} reversed>
        {events.toReversed().map((event) => (
          <li key={event.sequence}>
            <time className="muted" dateTime={event.time} title={moment(event.time)}>
              {clock(event.time)}
            </time>
            <div>
              {event.message} <code className={css.reason}>{event.reason}</code>
              {int(event.attempt) > 1 && <span className="muted"> · attempt {event.attempt}</span>}
            </div>
          </li>
        ))}
      </ol>
    </Panel>
  );
}
