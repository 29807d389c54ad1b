/** Says that the server is silent, and asks it every few seconds until it answers. */
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useSyncExternalStore } from "react";
import { isReachable, onReachable, setReachable } from "../api/reachable";
import { Icon } from "../components/icons";
import css from "./Shell.module.css";

const ASK_EVERY_MS = 3000;

export function OfflineBanner() {
  const reachable = useSyncExternalStore(onReachable, isReachable);
  const queries = useQueryClient();
  useEffect(() => {
    if (reachable) return;
    const timer = setInterval(() => {
      fetch("/healthz").then(
        () => {
          setReachable(true);
          void queries.invalidateQueries();
        },
        () => undefined,
      );
    }, ASK_EVERY_MS);
    return () => clearInterval(timer);
  }, [reachable, queries]);
  if (reachable) return null;
  return (
    <div className={css.offline} role="status">
      <Icon name="alert" />
      <span>
        The server does not answer; trying again. What you see may be old. <code>visiontune status</code>{" "}
        tells what runs.
      </span>
    </div>
  );
}
