// Three pages, one worker. Assets are content-hashed under /assets/.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { defineConfig, type Plugin } from "vite";

const page = (name: string): string => resolve(import.meta.dirname, name);

/** What the pages have in common: `<!-- head -->` becomes `parts/head.html`, and so on. */
const parts: Plugin = {
  name: "tongyou-parts",
  transformIndexHtml: {
    order: "pre",
    handler: (html) =>
      html.replace(/ *<!-- (\w+) -->\n/gu, (_, part: string) => readFileSync(page(`parts/${part}.html`), "utf8")),
  },
};

/** `--mode fixture`: the pages with a computed place instead of a server. */
const fixture: Plugin = {
  name: "tongyou-fixture",
  transformIndexHtml: () => [
    { tag: "script", attrs: { type: "module", src: "/src/fixture/fake.ts" }, injectTo: "head-prepend" },
  ],
};

export default defineConfig(({ mode }) => ({
  plugins: mode === "fixture" ? [parts, fixture] : [parts],
  build: {
    target: "es2023",
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
    rolldownOptions: {
      input: {
        index: page("index.html"),
        guide: page("guide.html"),
        projector: page("projector.html"),
      },
    },
  },
  worker: { format: "es" },
  server: {
    headers: { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" },
  },
}));
