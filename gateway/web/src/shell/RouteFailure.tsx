/** Pages for addresses that lead nowhere, and for mistakes of our own. */
import { isRouteErrorResponse, Link, useRouteError } from "react-router";
import { messageOf } from "../api/errors";
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
  if (isRouteErrorResponse(error)) return <UnknownPage />;
  return (
    <Failure
      error={new Error(`This page failed: ${messageOf(error)}`)}
      retry={() => window.location.reload()}
    />
  );
}
