import { expect, test } from "vitest";
import { curlOf, groupsOf, limitsOf, resolve, typeName, type Document } from "./openapi";

const DOCUMENT: Document = {
  info: { title: "T", version: "1" },
  tags: [{ name: "Empty" }, { name: "DatasetService", description: "Data." }],
  paths: {
    "/v1/projects/{project}/datasets": {
      get: {
        operationId: "ListDatasets",
        tags: ["DatasetService"],
        description: "Lists datasets.",
        responses: {
          200: { content: { "application/json": { schema: { $ref: "#/components/schemas/Dataset" } } } },
        },
      },
      post: {
        operationId: "CreateDataset",
        tags: ["DatasetService"],
        parameters: [{ name: "datasetId", in: "query", required: true }],
        requestBody: { content: { "application/json": { schema: {} } } },
      },
    },
  },
  components: { schemas: { Dataset: { type: "object", description: "A series." } } },
};

test("operations stand under their tags, and tags without any are left out", () => {
  const [group, ...others] = groupsOf(DOCUMENT, "");
  expect(others).toEqual([]);
  expect(group?.operations.map((operation) => operation.id)).toEqual(["ListDatasets", "CreateDataset"]);
});

test("a search needs every word", () => {
  expect(groupsOf(DOCUMENT, "datasets lists")[0]?.operations).toHaveLength(1);
  expect(groupsOf(DOCUMENT, "nothing")).toEqual([]);
});

test("references are followed and types have readable names", () => {
  const reference = { $ref: "#/components/schemas/Dataset" };
  expect(resolve(reference, DOCUMENT.components?.schemas ?? {}).schema.description).toBe("A series.");
  expect(typeName({ type: "array", items: reference })).toBe("list of Dataset");
  expect(typeName({ type: "object", additionalProperties: { type: "string", format: "int64" } })).toBe(
    "map of int64",
  );
  expect(limitsOf({ minimum: 1, pattern: "^a$" })).toEqual(["≥ 1", "matches ^a$"]);
});

test("what holds together is shown as one", () => {
  const schema = {
    allOf: [{ $ref: "#/components/schemas/Dataset" }, { properties: { metadata: { type: "string" } } }],
  };
  const found = resolve(schema, {
    Dataset: { description: "A series.", properties: { name: {}, metadata: {} } },
  });
  expect(found.name).toBe("Dataset");
  expect(found.schema.description).toBe("A series.");
  expect(found.schema.properties).toEqual({ name: {}, metadata: { type: "string" } });
});

test("the curl line has what the call requires", () => {
  const create = groupsOf(DOCUMENT, "create")[0]?.operations[0];
  expect(create && curlOf(create, "http://x")).toBe(
    "curl -X POST 'http://x/v1/projects/{project}/datasets?datasetId=…' \\\n" +
      '  -H "Authorization: Bearer $VISIONTUNE_API_KEY" \\\n' +
      "  --json '{…}'",
  );
});
