// Two pages, one worker. Assets are content-hashed under /assets/.
import { resolve } from "node:path";
import { defineConfig } from "vite";

const page = (name: string): string => resolve(import.meta.dirname, name);

export default defineConfig(({ mode }) => ({
  build: {
    target: "es2023",
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
    rolldownOptions: {
      input: {
        index: page("index.html"),
        guide: page("guide.html"),
        ...(mode === "fixture" ? { fixture: page("fixture.html") } : {}),
      },
    },
  },
  worker: { format: "es" },
  server: {
    headers: { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" },
  },
}));
