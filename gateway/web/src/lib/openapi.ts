/** The OpenAPI document as the reference shows it. Pure. */

export interface Schema {
  type?: string;
  format?: string;
  description?: string;
  enum?: string[];
  items?: Schema;
  properties?: Record<string, Schema>;
  additionalProperties?: Schema | boolean;
  required?: string[];
  readOnly?: boolean;
  $ref?: string;
  allOf?: Schema[];
  [keyword: string]: unknown;
}

interface Content {
  content?: Record<string, { schema?: Schema }>;
}

export interface Parameter {
  name: string;
  in: string;
  required?: boolean;
  description?: string;
  schema?: Schema;
}

interface RawOperation {
  operationId: string;
  tags?: string[];
  summary?: string;
  description?: string;
  parameters?: Parameter[];
  requestBody?: Content;
  responses?: Record<string, Content>;
}

export interface Document {
  info: { title: string; version: string; description?: string };
  tags?: { name: string; description?: string }[];
  paths: Record<string, Record<string, RawOperation>>;
  components?: { schemas?: Record<string, Schema> };
}

export interface Operation {
  id: string;
  verb: string;
  path: string;
  summary: string;
  description: string;
  parameters: readonly Parameter[];
  body: Schema | undefined;
  answer: { kind: string; schema: Schema } | undefined;
}

export interface Group {
  name: string;
  description: string;
  operations: readonly Operation[];
}

/** The operations under their tags, in the document's order; those that match every word of `search`. */
export function groupsOf(document: Document, search: string): Group[] {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const byTag = new Map<string, Operation[]>((document.tags ?? []).map((tag) => [tag.name, []]));
  for (const [path, verbs] of Object.entries(document.paths)) {
    for (const [verb, raw] of Object.entries(verbs)) {
      const operation = operationOf(verb, path, raw);
      const text = `${operation.id} ${verb} ${path} ${operation.description}`.toLowerCase();
      if (!words.every((word) => text.includes(word))) continue;
      const tag = raw.tags?.[0] ?? "Other";
      byTag.set(tag, [...(byTag.get(tag) ?? []), operation]);
    }
  }
  return [...byTag]
    .filter(([, operations]) => operations.length > 0)
    .map(([name, operations]) => ({
      name,
      description: document.tags?.find((tag) => tag.name === name)?.description ?? "",
      operations,
    }));
}

function operationOf(verb: string, path: string, raw: RawOperation): Operation {
  const [answer] = Object.entries(raw.responses?.["200"]?.content ?? {});
  return {
    id: raw.operationId,
    verb: verb.toUpperCase(),
    path,
    summary: raw.summary ?? "",
    description: raw.description ?? raw.summary ?? "",
    parameters: raw.parameters ?? [],
    body: raw.requestBody?.content?.["application/json"]?.schema,
    answer: answer?.[1].schema ? { kind: answer[0], schema: answer[1].schema } : undefined,
  };
}

/** The schema behind a reference, and its name. */
export function resolve(schema: Schema, schemas: Record<string, Schema>): { name: string; schema: Schema } {
  if (schema.allOf) return { name: typeName(schema), schema: merged(schema.allOf, schemas) };
  const name = (schema.$ref ?? "").replace("#/components/schemas/", "");
  return { name, schema: name === "" ? schema : (schemas[name] ?? {}) };
}

/** Parts that hold together: later ones say more about the same fields. */
function merged(parts: readonly Schema[], schemas: Record<string, Schema>): Schema {
  const shapes = parts.map((part) => resolve(part, schemas).schema);
  return Object.assign({}, ...shapes, {
    properties: Object.assign({}, ...shapes.map((shape) => shape.properties)) as Record<string, Schema>,
  }) as Schema;
}

/** `string`, `list of Dataset`, `map of string`, `TrainingJob.State`. */
export function typeName(schema: Schema): string {
  if (schema.$ref) return schema.$ref.replace("#/components/schemas/", "");
  if (schema.allOf?.[0]) return typeName(schema.allOf[0]);
  if (schema.type === "array") return `list of ${typeName(schema.items ?? {})}`;
  if (typeof schema.additionalProperties === "object")
    return `map of ${typeName(schema.additionalProperties)}`;
  return schema.format ?? schema.type ?? "any";
}

const LIMITS: readonly (readonly [string, string])[] = [
  ["minimum", "≥"],
  ["exclusiveMinimum", ">"],
  ["maximum", "≤"],
  ["exclusiveMaximum", "<"],
  ["minLength", "length ≥"],
  ["maxLength", "length ≤"],
  ["minItems", "items ≥"],
  ["maxItems", "items ≤"],
  ["pattern", "matches"],
];

/** What a value must obey, in a few words each. */
export function limitsOf(schema: Schema): string[] {
  return LIMITS.filter(([keyword]) => schema[keyword] !== undefined).map(
    ([keyword, words]) => `${words} ${String(schema[keyword])}`,
  );
}

/** The call as a shell line that works once the key and the path are filled in. */
export function curlOf(operation: Operation, origin: string): string {
  const required = operation.parameters.filter((parameter) => parameter.in === "query" && parameter.required);
  const query = required.map(({ name }) => `${name}=…`).join("&");
  const lines = [
    `curl ${operation.verb === "GET" ? "" : `-X ${operation.verb} `}'${origin}${operation.path}${query && `?${query}`}'`,
  ];
  lines.push(`  -H "Authorization: Bearer $VISIONTUNE_API_KEY"`);
  if (operation.body) lines.push(`  --json '{…}'`);
  if (operation.answer?.kind === "text/event-stream") lines.push("  --no-buffer");
  return lines.join(" \\\n");
}
