/** The reference of the API, read from the server's own description of itself. */
import { TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "react-router";
import { openapiQuery } from "../../api/reference";
import { Icon } from "../../components/icons";
import { Page } from "../../components/Page";
import { Prose } from "../../components/Prose";
import { Empty, Failure, Loading } from "../../components/states";
import { groupsOf, type Document, type Group } from "../../lib/openapi";
import css from "./docs.module.css";
import { OperationView } from "./OperationView";

export function Component() {
  const query = useQuery(openapiQuery);
  return (
    <Page title="API reference" actions={<a href="/openapi.json">openapi.json</a>}>
      {query.isPending && <Loading what="the reference" lines={8} />}
      {query.isError && <Failure error={query.error} retry={() => void query.refetch()} />}
      {query.data && <Reference document={query.data} />}
    </Page>
  );
}

function Reference({ document }: { document: Document }) {
  const [search, setSearch] = useState("");
  const groups = groupsOf(document, search);
  return (
    <div className={css.layout}>
      <nav className={css.index} aria-label="Calls">
        <TextInput
          size="xs"
          placeholder="Search the calls"
          aria-label="Search the calls"
          leftSection={<Icon name="search" size={13} />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
        {groups.map((group) => (
          <div key={group.name} className={css.calls}>
            <h2>{group.name}</h2>
            <ul>
              {group.operations.map((operation) => (
                <li key={operation.id}>
                  <a href={`#${operation.id}`}>{operation.id}</a>
                </li>
              ))}
            </ul>
          </div>
        ))}
      </nav>
      <div className={css.content}>
        {search === "" && document.info.description && <Prose text={document.info.description} />}
        {groups.length === 0 && <Empty title={`No call matches “${search}”`} />}
        {groups.map((group) => (
          <GroupView key={group.name} group={group} schemas={document.components?.schemas ?? {}} />
        ))}
      </div>
    </div>
  );
}

interface GroupProps {
  group: Group;
  schemas: NonNullable<NonNullable<Document["components"]>["schemas"]>;
}

function GroupView({ group, schemas }: GroupProps) {
  const { hash } = useLocation();
  return (
    <section className={css.group} aria-label={group.name}>
      <h2>{group.name}</h2>
      <Prose text={group.description} />
      {group.operations.map((operation) => (
        <OperationView
          key={operation.id}
          operation={operation}
          schemas={schemas}
          named={hash === `#${operation.id}`}
        />
      ))}
    </section>
  );
}
