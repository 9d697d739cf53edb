import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const repository = fileURLToPath(new URL("..", import.meta.url));

export default defineConfig({
  resolve: { alias: { "@firstlight/codecs": `${repository}codecs/js/src/main.ts` } },
  server: { fs: { allow: [repository] } },
  test: {
    globals: true,
    root: repository,
    include: ["web/viewer/**/*.test.ts", "codecs/js/**/*.test.ts"],
  },
});
