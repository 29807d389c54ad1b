/** A message and its fields. What lies deeper is fetched from the document only when it is opened: messages may hold themselves. */
import { useState } from "react";
import { Prose } from "../../components/Prose";
import { resolve, typeName, type Schema } from "../../lib/openapi";
import css from "./docs.module.css";
import { Limits } from "./Limits";

interface SchemaProps {
  schema: Schema;
  schemas: Record<string, Schema>;
  open?: boolean;
}

export function SchemaView({ schema, schemas, open: openAtFirst = false }: SchemaProps) {
  const [open, setOpen] = useState(openAtFirst);
  const inner = innermost(schema);
  const { name, schema: shape } = resolve(inner, schemas);
  const fields = Object.entries(shape.properties ?? {});
  if (shape.enum) return <Prose text={shape.description ?? shape.enum.join(", ")} />;
  if (fields.length === 0) return <span className={css.type}>{typeName(schema)}</span>;
  return (
    <details className={css.schema} open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{name || "Fields"}</summary>
      {open && (
        <>
          <Prose text={shape.description ?? ""} />
          <dl className={css.fields}>
            {fields.map(([field, value]) => (
              <FieldView
                key={field}
                name={field}
                schema={value}
                schemas={schemas}
                required={shape.required?.includes(field) ?? false}
              />
            ))}
          </dl>
        </>
      )}
    </details>
  );
}

/** The message inside lists and maps. */
function innermost(schema: Schema): Schema {
  if (schema.type === "array") return innermost(schema.items ?? {});
  if (typeof schema.additionalProperties === "object") return innermost(schema.additionalProperties);
  return schema;
}

interface FieldProps extends SchemaProps {
  name: string;
  required: boolean;
}

function FieldView({ name, schema, schemas, required }: FieldProps) {
  const deeper = innermost(schema).$ref !== undefined;
  return (
    <div>
      <dt>
        <code>{name}</code>
      </dt>
      <dd>
        <span className={css.type}>{typeName(schema)}</span>
        {required && <span className={css.flag}>required</span>}
        {schema.readOnly && <span className={css.quietFlag}>read only</span>}
        <Prose text={schema.description ?? ""} />
        <Limits schema={schema} />
        {deeper && <SchemaView schema={schema} schemas={schemas} />}
      </dd>
    </div>
  );
}
