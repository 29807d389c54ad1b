/** The frame around every page: navigation, the banner for a silent server, and the door for those without a key. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef, useSyncExternalStore } from "react";
import { NavLink, Outlet, useLocation } from "react-router";
import { callerQuery } from "../api/identity";
import { Icon, type IconName } from "../components/icons";
import { Failure, Loading } from "../components/states";
import { enumLabel } from "../lib/format";
import { lastOf } from "../lib/names";
import { SignIn } from "../session/SignIn";
import { apiKey, endSession, onSession } from "../session/key";
import { ProjectContext } from "../session/project";
import { isRunning, useTransfers } from "../transfer/transfers";
import { ColorSchemeButton } from "./ColorSchemeButton";
import { OfflineBanner } from "./OfflineBanner";
import { Shortcuts } from "./Shortcuts";
import css from "./Shell.module.css";

const PLACES: readonly { to: string; label: string; icon: IconName }[] = [
  { to: "/datasets", label: "Datasets", icon: "datasets" },
  { to: "/jobs", label: "Jobs", icon: "jobs" },
  { to: "/models", label: "Models", icon: "models" },
  { to: "/storage", label: "Storage", icon: "storage" },
  { to: "/docs", label: "API", icon: "docs" },
];

export function Shell() {
  const signedIn = useSyncExternalStore(onSession, () => apiKey() !== "");
  const { pathname } = useLocation();
  // The reference of the API needs no key: it says how to use one.
  if (!signedIn && pathname !== "/docs") return <SignIn />;
  return <Frame signedIn={signedIn} />;
}

function Frame({ signedIn }: { signedIn: boolean }) {
  const main = useRef<HTMLElement>(null);
  const { pathname } = useLocation();
  useEffect(() => {
    window.scrollTo(0, 0);
  }, [pathname]);
  return (
    <div className={css.frame}>
      <a className={css.skip} href="#main" onClick={() => main.current?.focus()}>
        Skip to the page
      </a>
      <aside className={css.side} aria-label="VisionTune">
        <Brand />
        <nav className={css.nav} aria-label="Main">
          {PLACES.map(({ to, label, icon }) => (
            <NavLink key={to} to={to} className={css.place}>
              <Icon name={icon} />
              <span>{label}</span>
            </NavLink>
          ))}
        </nav>
        <TransferNote />
        <div className={css.foot}>
          {signedIn && <Who />}
          <Shortcuts />
          <ColorSchemeButton />
        </div>
      </aside>
      <main id="main" ref={main} tabIndex={-1} className={css.main}>
        <OfflineBanner />
        {signedIn ? <WithProject /> : <Outlet />}
      </main>
    </div>
  );
}

function Brand() {
  return (
    <NavLink to="/datasets" className={css.brand}>
      <img src="/favicon.svg" alt="" width={22} height={22} />
      VisionTune
    </NavLink>
  );
}

/** Every page but the reference works inside the caller's project, so that is known first. */
function WithProject() {
  const caller = useQuery(callerQuery);
  if (caller.isPending) return <Loading what="your project" />;
  if (caller.isError) return <Failure error={caller.error} retry={() => void caller.refetch()} />;
  return (
    <ProjectContext value={caller.data.project ?? ""}>
      <Outlet />
    </ProjectContext>
  );
}

function Who() {
  const { data } = useQuery(callerQuery);
  return (
    <div className={css.who}>
      <div className={css.whoText}>
        <strong>{lastOf(data?.project) || "…"}</strong>
        <span className="muted">{enumLabel(data?.role, "ROLE_")}</span>
      </div>
      <button
        type="button"
        className={css.button}
        onClick={() => endSession()}
        aria-label="Sign out"
        title="Sign out"
      >
        <Icon name="exit" />
      </button>
    </div>
  );
}

function TransferNote() {
  const running = useTransfers().filter(isRunning);
  if (running.length === 0) return null;
  const done = running.reduce((sum, transfer) => sum + transfer.progress.doneBytes, 0);
  const total = running.reduce((sum, transfer) => sum + transfer.progress.totalBytes, 0);
  return (
    <NavLink to="/datasets/import" className={css.transfer}>
      <Icon name="upload" />
      <span>Uploading {Math.floor((100 * done) / Math.max(1, total))} %</span>
    </NavLink>
  );
}
