// Two builds: the pages of the console in static/console, and the report as one script and one style sheet, which the service
// puts into a file together with the figures.
import { defineConfig } from "vite";

export default defineConfig(({ mode }) => {
  const report = mode === "report";
  return {
    base: "./",
    publicDir: false,
    build: {
      outDir: report ? "../static/report" : "../static/console",
      emptyOutDir: true,
      target: "es2022",
      modulePreload: false,
      cssCodeSplit: false,
      rollupOptions: {
        input: report ? "report.tsx" : "main.tsx",
        output: {
          format: report ? "iife" : "es",
          entryFileNames: "[name].js",
          chunkFileNames: "[name].js",
          assetFileNames: "[name][extname]",
        },
      },
    },
  };
});
