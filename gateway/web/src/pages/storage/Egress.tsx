/** What the object store sent to whoever read from it: for operators, where it is counted. */
import { useQuery } from "@tanstack/react-query";
import { ApiError } from "../../api/errors";
import { callerQuery } from "../../api/identity";
import { egressQuery } from "../../api/uploads";
import { DayBars } from "../../components/DayBars";
import { Facts, Panel } from "../../components/Page";
import { Failure } from "../../components/states";
import { bytes } from "../../lib/format";
import { sentRows } from "../../lib/quota";

const isOff = (error: Error) => error instanceof ApiError && error.reason === "EgressNotCounted";

export function Egress() {
  const role = useQuery(callerQuery).data?.role;
  const egress = useQuery({ ...egressQuery, enabled: role === "ROLE_OPERATOR" });
  if (egress.isError) {
    return (
      <Panel title="Sent by the object store">
        {isOff(egress.error) ? (
          <p className="muted">{egress.error.message}</p>
        ) : (
          <Failure error={egress.error} retry={() => void egress.refetch()} />
        )}
      </Panel>
    );
  }
  if (!egress.data) return null;
  const { sentBytes, cost, days = [] } = egress.data;
  return (
    <Panel title="Sent by the object store" aside={<span className="muted">of all projects</span>}>
      <Facts
        rows={[
          ["In 30 days", bytes(sentBytes)],
          ["Cost", cost?.toFixed(2)],
        ]}
      />
      {days.length > 0 && <DayBars label="Bytes sent, day by day" days={sentRows(days)} />}
    </Panel>
  );
}
