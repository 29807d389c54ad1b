/** The project that the key belongs to: `projects/{project}`. */
import { createContext, use } from "react";

export const ProjectContext = createContext("");

export function useProject(): string {
  return use(ProjectContext);
}
