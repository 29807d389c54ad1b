/** How a base model is called where there is room for a few words only. */
import type { BaseModel } from "../api/types";
import { lastOf } from "./names";

export function baseModelLabel(base: BaseModel | undefined): string {
  if (base?.preset) return base.preset;
  if (base?.hub) return base.hub.repoId ?? "";
  if (base?.model) return lastOf(base.model);
  return base?.path ?? "–";
}
