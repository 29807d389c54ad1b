/** Asks for the API key and says where it is. */
import { Button, PasswordInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { useState, type SyntheticEvent } from "react";
import { Link } from "react-router";
import { Code, ApiError, messageOf } from "../api/errors";
import { getCaller } from "../api/identity";
import css from "./SignIn.module.css";
import { beginSession, farewellReason } from "./key";

export function SignIn() {
  const [key, setKey] = useState("");
  const trial = useMutation({
    mutationFn: (candidate: string) => getCaller(candidate),
    onSuccess: (_caller, candidate) => beginSession(candidate),
  });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    trial.mutate(key.trim());
  };
  return (
    <main className={css.page}>
      <title>Sign in · VisionTune</title>
      <form className={css.card} onSubmit={submit}>
        <div className={css.brand}>
          <img src="/favicon.svg" alt="" width={28} height={28} />
          <h1>VisionTune</h1>
        </div>
        {farewellReason() && !trial.isError && <p role="status">Please sign in again. {farewellReason()}</p>}
        <PasswordInput
          label="API key"
          placeholder="vt_…"
          value={key}
          onChange={(event) => setKey(event.currentTarget.value)}
          error={trial.isError && explain(trial.error)}
          autoComplete="off"
          autoFocus
          required
          withAsterisk={false}
        />
        <Button type="submit" loading={trial.isPending} disabled={key.trim() === ""} fullWidth>
          Sign in
        </Button>
        <div className={css.help}>
          <p>
            <code>visiontune up</code> printed the key when it first ran, and keeps it in{" "}
            <code>~/.visiontune/api-key</code> (or <code>$VISIONTUNE_HOME/api-key</code>).
          </p>
          <p>
            On a server that others run, ask an administrator of your project. The key stays in this tab and
            is forgotten when you close it. <Link to="/docs">How the API is called</Link>
          </p>
        </div>
      </form>
    </main>
  );
}

function explain(error: Error): string {
  if (error instanceof ApiError && error.code === Code.UNAUTHENTICATED) {
    return "No such key, or it was revoked. Copy it whole, from vt_ to the end.";
  }
  return messageOf(error);
}
