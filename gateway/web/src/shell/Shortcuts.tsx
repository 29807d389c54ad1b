/** What the keys do, on `?`. */
import { Modal } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useShortcuts } from "../components/useShortcuts";
import { keyLabel, shortcutGroups } from "../lib/shortcuts";
import css from "./Shortcuts.module.css";

export function Shortcuts() {
  const [opened, dialog] = useDisclosure(false);
  useShortcuts({ help: dialog.toggle });
  return (
    <>
      <button type="button" className={css.button} onClick={dialog.open} aria-label="Keys" title="Keys (?)">
        ?
      </button>
      <Modal opened={opened} onClose={dialog.close} title="Keys" lockScroll={false} centered>
        <div className={css.groups}>
          {shortcutGroups().map(([where, shortcuts]) => (
            <section key={where} aria-label={where}>
              <h3>{where}</h3>
              <dl className={css.keys}>
                {shortcuts.map(({ key, does }) => (
                  <div key={key}>
                    <dt>
                      <kbd>{keyLabel(key)}</kbd>
                    </dt>
                    <dd>{does}</dd>
                  </div>
                ))}
              </dl>
            </section>
          ))}
        </div>
      </Modal>
    </>
  );
}
