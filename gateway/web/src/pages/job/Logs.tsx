/** The worker's log. It follows the newest line until the reader scrolls up, and shows only lines that hold a text. */
import { TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useLayoutEffect, useRef, useState } from "react";
import { attemptLogsQuery } from "../../api/jobs";
import type { LogLine, TrainingJob } from "../../api/types";
import { Icon } from "../../components/icons";
import { Panel } from "../../components/Page";
import { Empty, Failure } from "../../components/states";
import { bytes, clock, count, counted } from "../../lib/format";
import css from "./job.module.css";

const NEAR_END_PX = 40;

interface LogsProps {
  job: TrainingJob;
  lines: readonly LogLine[];
}

export function Logs({ job, lines }: LogsProps) {
  const [text, setText] = useState("");
  const wanted = text.trim().toLowerCase();
  const shown = lines.filter((line) =>
    `${line.level ?? ""} ${line.message ?? ""}`.toLowerCase().includes(wanted),
  );
  const box = useRef<HTMLDivElement>(null);
  const [following, setFollowing] = useState(true);
  useLayoutEffect(() => {
    if (following && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [shown.length, following]);
  if (lines.length === 0) return <Empty title="The worker has logged nothing yet" />;
  return (
    <Panel
      flush
      title={
        wanted ? `${count(shown.length)} of ${counted(lines.length, "line")}` : counted(lines.length, "line")
      }
      aside={
        <>
          <TextInput
            size="xs"
            type="search"
            aria-label="Search the log"
            placeholder="Search"
            value={text}
            onChange={(event) => setText(event.currentTarget.value)}
          />
          <span className="muted">{following ? "following" : "scroll to the end to follow"}</span>
        </>
      }
    >
      <div
        ref={box}
        className={css.log}
        role="log"
        aria-label="Log of the worker"
        tabIndex={0}
        onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) =>
          setFollowing(scrollHeight - scrollTop - clientHeight < NEAR_END_PX)
        }
      >
        {shown.map((line) => (
          <div key={line.sequence} className={css.logLine} data-level={line.level}>
            <span className="muted">{clock(line.time)}</span>
            <span className="muted">{line.level}</span>
            <span>{line.message}</span>
          </div>
        ))}
      </div>
      <WholeLogs job={job} />
    </Panel>
  );
}

/** The stream carries the last lines; what an ended attempt logged is kept whole. */
function WholeLogs({ job }: { job: TrainingJob }) {
  const logs = useQuery(attemptLogsQuery(job));
  if (logs.isError) return <Failure error={logs.error} retry={() => void logs.refetch()} />;
  if (!logs.data?.length) return null;
  return (
    <p className={css.wholeLogs}>
      {logs.data.map(({ name, attempt, file }) => (
        <a key={name} href={file?.url} target="_blank" rel="noreferrer">
          <Icon name="download" size={12} /> Whole log of attempt {attempt} ({bytes(file?.sizeBytes)})
        </a>
      ))}
    </p>
  );
}
