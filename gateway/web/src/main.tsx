/** Puts the app together: styles, theme, data cache, session, routes. */
import { createTheme, MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { RouterProvider } from "react-router/dom";
import { ApiError } from "./api/errors";
import { setReachable } from "./api/reachable";
import { onSession } from "./session/key";
import { router } from "./routes";
import "./styles/mantine.css";
import "./styles/theme.css";
import "./styles/base.css";

const TRIES = 3;

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // What the server refused once, it refuses again; only silence is worth another try.
      retry: (failed, error) => failed < TRIES && error instanceof ApiError && error.passing,
      staleTime: 2000,
      networkMode: "always",
    },
    mutations: { networkMode: "always" },
  },
});

// What one key may see must not be left for the next one.
onSession(() => queries.clear());

// The code of a page is fetched when it is first visited; that fails like any other call.
window.addEventListener("vite:preloadError", () => setReachable(false));

const theme = createTheme({ defaultRadius: "md", cursorType: "pointer" });

const root = document.getElementById("root");
if (!root) throw new Error("index.html has no #root");

// withCssVariables and withGlobalClasses would write <style> elements, which style-src 'self' forbids;
// styles/theme.css holds what they would say.
createRoot(root).render(
  <StrictMode>
    <MantineProvider
      theme={theme}
      defaultColorScheme="auto"
      withCssVariables={false}
      withGlobalClasses={false}
    >
      <QueryClientProvider client={queries}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
