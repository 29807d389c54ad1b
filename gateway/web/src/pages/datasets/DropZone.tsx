/** A place to drop an archive, which is also a button that opens the file dialogue. */
import { useState, type DragEvent } from "react";
import { Icon } from "../../components/icons";
import { bytes } from "../../lib/format";
import css from "./datasets.module.css";

const ACCEPT = ".tar.gz,.tgz,.tar,.zip,application/gzip,application/x-tar,application/zip";

interface DropZoneProps {
  file: File | undefined;
  choose: (file: File) => void;
}

export function DropZone({ file, choose }: DropZoneProps) {
  const [over, setOver] = useState(false);
  const drop = (event: DragEvent) => {
    event.preventDefault();
    event.stopPropagation();
    setOver(false);
    const dropped = event.dataTransfer.files[0];
    if (dropped) choose(dropped);
  };
  return (
    <label
      className={`${css.drop ?? ""} ${over ? (css.dropOver ?? "") : ""}`}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={drop}
    >
      <Icon name="upload" size={22} />
      {file ? (
        <>
          <strong>{file.name}</strong>
          <span>{bytes(file.size)}</span>
        </>
      ) : (
        <>
          <strong>Drop an archive here, or click to choose one</strong>
          <span>.tar.gz, .tar or .zip with images and their text</span>
        </>
      )}
      <input
        type="file"
        accept={ACCEPT}
        className="visually-hidden"
        aria-label="Archive to import"
        onChange={(event) => {
          const chosen = event.currentTarget.files?.[0];
          if (chosen) choose(chosen);
          event.currentTarget.value = "";
        }}
      />
    </label>
  );
}
