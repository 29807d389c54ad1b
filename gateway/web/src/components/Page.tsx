/** Title, way back and actions of a page, and the panels that it is made of. */
import type { ReactNode } from "react";
import { Link } from "react-router";
import css from "./Page.module.css";

interface Crumb {
  to: string;
  label: string;
}

interface PageProps {
  title: string;
  /** Where the page lies, from the outside in. */
  trail?: readonly Crumb[];
  /** Beside the title: a state, a digest. */
  aside?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}

export function Page({ title, trail = [], aside, actions, children }: PageProps) {
  return (
    <>
      <title>{`${title} · VisionTune`}</title>
      <div className={css.head}>
        <div className={css.titles}>
          {trail.length > 0 && (
            <nav aria-label="Breadcrumb" className={css.trail}>
              {trail.map(({ to, label }) => (
                <span key={to}>
                  <Link to={to}>{label}</Link>
                  <span aria-hidden="true"> /</span>
                </span>
              ))}
            </nav>
          )}
          <div className={css.title}>
            <h1>{title}</h1>
            {aside}
          </div>
        </div>
        {actions !== undefined && <div className={css.actions}>{actions}</div>}
      </div>
      <div className={css.body}>{children}</div>
    </>
  );
}

interface PanelProps {
  title?: string;
  aside?: ReactNode;
  /** Lets tables reach the panel's edges. */
  flush?: boolean;
  children: ReactNode;
}

export function Panel({ title, aside, flush = false, children }: PanelProps) {
  return (
    <section className={css.panel} aria-label={title}>
      {title !== undefined && (
        <div className={css.panelHead}>
          <h2>{title}</h2>
          {aside}
        </div>
      )}
      <div className={flush ? css.flush : css.panelBody}>{children}</div>
    </section>
  );
}

/** Panels side by side where there is room. */
export function Columns({ children }: { children: ReactNode }) {
  return <div className={css.columns}>{children}</div>;
}

/** Names and values. Rows whose value is absent are left out. */
export function Facts({ rows }: { rows: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className={css.facts}>
      {rows
        .filter(([, value]) => value !== undefined && value !== null && value !== "")
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

/** A row of the few numbers that matter most. */
export function Figures({ rows }: { rows: readonly (readonly [string, ReactNode])[] }) {
  return (
    <dl className={css.figures}>
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
