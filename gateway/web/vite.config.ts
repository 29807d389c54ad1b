import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// During `npm run dev` the API is answered by a stack that runs beside it.
const gateway = process.env["VISIONTUNE_GATEWAY"] ?? "http://127.0.0.1:8700";

export default defineConfig({
  plugins: [react()],
  build: {
    outDir: "../visiontune_gateway/web",
    emptyOutDir: true,
    // Everything is a file of our own origin: the pages run under `script-src 'self'` and
    // `style-src 'self'`, which an inlined asset or a preload shim would break.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  worker: { format: "es" },
  server: {
    host: "127.0.0.1",
    proxy: { "/v1": gateway, "/openapi.json": gateway, "/healthz": gateway },
  },
  test: { include: ["src/**/*.test.ts"], environment: "node" },
});
