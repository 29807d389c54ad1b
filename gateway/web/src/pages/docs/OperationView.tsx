/** One call: how to make it, what goes in, what comes out. */
import { useLayoutEffect, useRef } from "react";
import { Prose } from "../../components/Prose";
import { curlOf, typeName, type Operation, type Parameter, type Schema } from "../../lib/openapi";
import css from "./docs.module.css";
import { Limits } from "./Limits";
import { SchemaView } from "./SchemaView";

interface OperationProps {
  operation: Operation;
  schemas: Record<string, Schema>;
  /** The address names this call: it is open and in sight. */
  named: boolean;
}

export function OperationView({ operation, schemas, named }: OperationProps) {
  const box = useRef<HTMLDetailsElement>(null);
  useLayoutEffect(() => {
    if (!named || !box.current) return;
    box.current.open = true;
    box.current.scrollIntoView();
  }, [named]);
  return (
    <details ref={box} id={operation.id} className={css.operation}>
      <summary>
        <span className={css.verb} data-verb={operation.verb}>
          {operation.verb}
        </span>
        <code className={css.path}>{operation.path}</code>
        <span className={css.id}>{operation.id}</span>
      </summary>
      <div className={css.detail}>
        <Prose text={operation.description} />
        <pre className={css.curl}>{curlOf(operation, window.location.origin)}</pre>
        {operation.parameters.length > 0 && (
          <>
            <h3>Parameters</h3>
            <dl className={css.fields}>
              {operation.parameters.map((parameter) => (
                <ParameterView key={`${parameter.in} ${parameter.name}`} parameter={parameter} />
              ))}
            </dl>
          </>
        )}
        {operation.body && (
          <>
            <h3>Body</h3>
            <SchemaView schema={operation.body} schemas={schemas} open />
          </>
        )}
        {operation.answer && (
          <>
            <h3>Answer</h3>
            {operation.answer.kind === "text/event-stream" && <p className="muted">One event a message:</p>}
            <SchemaView
              schema={operation.answer.schema}
              schemas={schemas}
              open={operation.body === undefined}
            />
          </>
        )}
      </div>
    </details>
  );
}

function ParameterView({ parameter }: { parameter: Parameter }) {
  const schema = parameter.schema ?? {};
  return (
    <div>
      <dt>
        <code>{parameter.name}</code> <span className="muted">{parameter.in}</span>
      </dt>
      <dd>
        <span className={css.type}>{typeName(schema)}</span>
        {parameter.required && <span className={css.flag}>required</span>}
        <Prose text={parameter.description ?? ""} />
        <Limits schema={schema} />
      </dd>
    </div>
  );
}
