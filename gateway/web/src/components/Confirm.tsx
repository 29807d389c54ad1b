/** A button that asks before it does what cannot be undone. */
import { Button, Modal } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import css from "./Confirm.module.css";
import { Failure } from "./states";

interface ConfirmProps {
  label: string;
  title: string;
  text: string;
  /** What the way out is called; "Keep it" when absent. */
  refuse?: string;
  action: { mutateAsync: () => Promise<unknown>; isPending: boolean; error: Error | null };
}

export function Confirm({ label, title, text, refuse = "Keep it", action }: ConfirmProps) {
  const [opened, dialog] = useDisclosure(false);
  const act = () =>
    action.mutateAsync().then(dialog.close, () => {
      // The dialogue stays open and shows `action.error`.
    });
  return (
    <>
      <Button size="xs" variant="default" onClick={dialog.open}>
        {label}
      </Button>
      {/* lockScroll would write a <style> element, which the CSP forbids. */}
      <Modal opened={opened} onClose={dialog.close} title={title} lockScroll={false} centered size="sm">
        <div className={css.body}>
          <p>{text}</p>
          {action.error && <Failure error={action.error} />}
          <div className={css.actions}>
            <Button size="xs" variant="default" onClick={dialog.close} data-autofocus>
              {refuse}
            </Button>
            <Button size="xs" color="red" loading={action.isPending} onClick={() => void act()}>
              {label}
            </Button>
          </div>
        </div>
      </Modal>
    </>
  );
}
