import { expect, test } from "vitest";
import { baseModelLabel, baseModelPage, codeOf } from "./models";

test("a model card tells how its model is loaded", () => {
  const card =
    "---\ntags: [a]\n---\n# m\n\n```text\nno\n```\n\n```python\nimport x\n\nx.y()\n```\n\n```python\nz\n```\n";
  expect(codeOf(card)).toBe("import x\n\nx.y()");
  expect(codeOf("# m")).toBeUndefined();
});

test("a base model has a name, and a page where it has one", () => {
  const model = { model: "projects/p/models/m" };
  expect([baseModelLabel(model), baseModelPage(model)]).toEqual(["m", "/models/m"]);
  expect(baseModelPage({ hub: { repoId: "a/b" } })).toBe("https://huggingface.co/a/b");
  expect(baseModelPage({ preset: "tiny-llava" })).toBeUndefined();
});
