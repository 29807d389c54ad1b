/** A place to drop archives, files of records and folders, which is also a button that opens the file dialogue. */
import { useEffect, useState } from "react";
import { Icon } from "../../components/icons";
import { bytes } from "../../lib/format";
import { sourceOfDirectoryInput, sourceOfFile, sourcesOfDrop, type Source } from "../../transfer/source";
import css from "./datasets.module.css";

const ACCEPT =
  ".tar.gz,.tgz,.tar,.zip,.jsonl,.json,.csv,.tsv,.parquet,application/gzip,application/x-tar,application/zip";

interface DropZoneProps {
  sources: readonly Source[];
  /** More of them; together they are one dataset. */
  choose: (sources: readonly Source[]) => void;
  remove: (source: Source) => void;
}

export function DropZone({ sources, choose, remove }: DropZoneProps) {
  const [over, setOver] = useState(false);
  usePageAsDropTarget(setOver, choose);
  return (
    <div className={css.sources}>
      <label className={`${css.drop ?? ""} ${over ? (css.dropOver ?? "") : ""}`}>
        <Icon name="upload" size={22} />
        <strong>
          {sources.length === 0
            ? "Drop files or a folder here, or click to choose files"
            : "Drop or choose more that belong to it"}
        </strong>
        <span>.tar.gz, .tar or .zip with images and their text; .jsonl, .csv or .parquet with records</span>
        <FileInput label="Files to import" choose={choose} />
      </label>
      {sources.length > 0 && (
        <ul className={css.chosen} aria-label="Chosen files">
          {sources.map((source) => (
            <li key={source.identity}>
              <strong>{source.file.name}</strong>
              <span className="muted">{bytes(source.file.size)}</span>
              <button
                type="button"
                className={css.remove}
                aria-label={`Remove ${source.file.name}`}
                onClick={() => remove(source)}
              >
                ×
              </button>
            </li>
          ))}
        </ul>
      )}
      <label className={css.folder}>
        Choose a folder
        <FolderInput choose={choose} />
      </label>
    </div>
  );
}

interface InputProps {
  label: string;
  choose: (sources: readonly Source[]) => void;
}

export function FileInput({ label, choose }: InputProps) {
  return (
    <input
      type="file"
      multiple
      accept={ACCEPT}
      className="visually-hidden"
      aria-label={label}
      onChange={(event) => {
        const chosen = Array.from(event.currentTarget.files ?? []);
        event.currentTarget.value = "";
        if (chosen.length > 0) choose(chosen.map(sourceOfFile));
      }}
    />
  );
}

/** The browser lists all files below the folder; they become one .tar. */
export function FolderInput({ label = "Folder to import", choose }: Partial<InputProps>) {
  return (
    <input
      type="file"
      // React knows no such attribute, but passes it on.
      {...{ webkitdirectory: "" }}
      className="visually-hidden"
      aria-label={label}
      onChange={(event) => {
        const source = sourceOfDirectoryInput(Array.from(event.currentTarget.files ?? []));
        event.currentTarget.value = "";
        if (source) choose?.([source]);
      }}
    />
  );
}

/** The whole page takes files: one dropped beside the zone must not make the browser leave and open it. */
function usePageAsDropTarget(setOver: (over: boolean) => void, choose: (sources: readonly Source[]) => void) {
  useEffect(() => {
    const enter = (event: DragEvent) => {
      event.preventDefault();
      setOver(true);
    };
    const leave = (event: DragEvent) => {
      if (event.relatedTarget === null) setOver(false);
    };
    const drop = (event: DragEvent) => {
      event.preventDefault();
      setOver(false);
      if (!event.dataTransfer) return;
      void sourcesOfDrop(event.dataTransfer).then((sources) => {
        if (sources.length > 0) choose(sources);
      });
    };
    window.addEventListener("dragover", enter);
    window.addEventListener("dragleave", leave);
    window.addEventListener("drop", drop);
    return () => {
      window.removeEventListener("dragover", enter);
      window.removeEventListener("dragleave", leave);
      window.removeEventListener("drop", drop);
    };
  }, [setOver, choose]);
}
