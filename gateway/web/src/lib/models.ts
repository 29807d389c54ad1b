/** What is said of models. Pure. */
import type { BaseModel } from "../api/types";
import { lastOf, pages } from "./names";

/** How a base model is called where there is room for a few words only. */
export function baseModelLabel(base: BaseModel | undefined): string {
  if (base?.preset) return base.preset;
  if (base?.hub) return base.hub.repoId ?? "";
  if (base?.model) return lastOf(base.model);
  return base?.path ?? "–";
}

/** The page of what a training started from; `undefined` where there is none. */
export function baseModelPage(base: BaseModel | undefined): string | undefined {
  if (base?.model) return pages.model(base.model);
  return base?.hub?.repoId ? `https://huggingface.co/${base.hub.repoId}` : undefined;
}

/** The first program in a model card: how its model is loaded. */
export function codeOf(card: string): string | undefined {
  return /^```python\n([\s\S]*?)^```$/m.exec(card)?.[1]?.trimEnd();
}
