/** How far something is, as a bar. Without a total it only says that something goes on. */
import { Progress } from "@mantine/core";

interface MeterProps {
  label: string;
  done: number;
  /** 0 while unknown. */
  total: number;
}

export function Meter({ label, done, total }: MeterProps) {
  const known = total > 0;
  return (
    <Progress
      value={known ? Math.min(100, (100 * done) / total) : 100}
      animated={!known}
      size={6}
      radius="xl"
      transitionDuration={200}
      aria-label={label}
    />
  );
}
