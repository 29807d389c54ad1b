/** A moment as people say it, with the exact time under the pointer. */
import { useEffect, useState } from "react";
import { ago, moment } from "../lib/format";

/** The present in milliseconds, renewed every `everyMs`. */
export function useNow(everyMs = 10_000): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

export function Ago({ time }: { time: string | undefined }) {
  const now = useNow();
  return (
    <time dateTime={time} title={moment(time)} className="nowrap">
      {ago(time, now)}
    </time>
  );
}
