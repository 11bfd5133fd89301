import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

export default defineConfig({
  // Relative addresses: the server decides under which path the files are served and writes it into the page.
  base: './',
  plugins: [react()],
  worker: { format: 'es' },
  build: {
    outDir: '../src/nexfit/api/static/graphiql',
    emptyOutDir: true,
    target: 'es2022',
    // Fonts and icons stay files, so that the Content-Security-Policy needs no `data:` for fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Monaco is one big editor; splitting it further would not make the page usable earlier.
    chunkSizeWarningLimit: 4000,
    license: { fileName: 'LICENSES.md' },
    rolldownOptions: {
      // GraphiQL's files carry notes for the React compiler, which is not used here.
      checks: { moduleLevelDirective: false },
    },
  },
});
