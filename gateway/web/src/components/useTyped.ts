/** A text field over a value that is kept elsewhere, and is written there once typing pauses. */
import { useDebouncedCallback } from "@mantine/hooks";
import { useState } from "react";

interface Typed {
  text: string;
  /** True while what is typed is not what is kept. */
  dirty: boolean;
  /** Attributes of the field. */
  field: {
    value: string;
    onChange: (event: { currentTarget: { value: string } }) => void;
    onBlur: () => void;
  };
}

/**
 * A value that changes elsewhere replaces the text; one that was written from here does not, since more may have been
 * typed before it comes back. Leaving the field writes at once, and so does leaving the page that shows it.
 */
export function useTyped(value: string, write: (text: string) => void, afterMs: number): Typed {
  const [text, setText] = useState(value);
  const [known, setKnown] = useState(value);
  const [written, setWritten] = useState<readonly string[]>([]);
  if (value !== known) {
    setKnown(value);
    const own = written.indexOf(value);
    if (own < 0) setText(value);
    setWritten(written.slice(own + 1));
  }
  const later = useDebouncedCallback(
    (next: string) => {
      if (next === value) return;
      setWritten((before) => [...before, next]);
      write(next);
    },
    { delay: afterMs, flushOnUnmount: true },
  );
  return {
    text,
    dirty: text !== value,
    field: {
      value: text,
      onChange: (event) => {
        setText(event.currentTarget.value);
        later(event.currentTarget.value);
      },
      onBlur: () => later.flush(),
    },
  };
}
