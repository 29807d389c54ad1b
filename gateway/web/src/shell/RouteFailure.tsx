/** Pages for addresses that lead nowhere, and for mistakes of our own. */
import { useEffect } from "react";
import { isRouteErrorResponse, Link, useRouteError } from "react-router";
import { messageOf } from "../api/errors";
import { isReachable, onReachable } from "../api/reachable";
import { Empty, Failure } from "../components/states";

export function UnknownPage() {
  return (
    <Empty title="There is no such page">
      <Link to="/datasets">Go to the datasets</Link>
    </Empty>
  );
}

export function RouteFailure() {
  const error = useRouteError();
  // A page whose code could not be fetched comes by itself once the server is back.
  useEffect(
    () =>
      onReachable(() => {
        if (isReachable()) window.location.reload();
      }),
    [],
  );
  if (isRouteErrorResponse(error)) return <UnknownPage />;
  return (
    <Failure
      error={new Error(`This page cannot be shown: ${messageOf(error)}`)}
      retry={() => window.location.reload()}
    />
  );
}
