// Two pages, one worker. Assets are content-hashed under /assets/.
import { resolve } from "node:path";
import { defineConfig, type Plugin } from "vite";

const page = (name: string): string => resolve(import.meta.dirname, name);

/** `--mode fixture`: the pages with a computed place instead of a server. */
const fixture: Plugin = {
  name: "tongyou-fixture",
  transformIndexHtml: () => [
    { tag: "script", attrs: { type: "module", src: "/src/fixture/fake.ts" }, injectTo: "head-prepend" },
  ],
};

export default defineConfig(({ mode }) => ({
  plugins: mode === "fixture" ? [fixture] : [],
  build: {
    target: "es2023",
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
    rolldownOptions: {
      input: {
        index: page("index.html"),
        guide: page("guide.html"),
      },
    },
  },
  worker: { format: "es" },
  server: {
    headers: { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" },
  },
}));
