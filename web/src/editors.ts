import { pick, useGraphiQL, useMonaco } from '@graphiql/react';
import { useEffect } from 'react';

const ACCENT = { light: '#0b7a5c', dark: '#3ecf9f' };
const SURFACE = { light: '#ffffff', dark: '#212a3b' };

/** Gives the editors the page's accent in place of GraphiQL's pink, under the theme names GraphiQL uses. */
export function useEditorAccent(): void {
  const monaco = useMonaco((state) => state.monaco);
  useEffect(() => {
    if (!monaco) {
      return;
    }
    for (const mode of ['light', 'dark'] as const) {
      const accent = ACCENT[mode];
      const faint = `${accent}22`;
      monaco.editor.defineTheme(`graphiql-${mode.toUpperCase()}`, {
        base: mode === 'light' ? 'vs' : 'vs-dark',
        inherit: true,
        rules: [],
        colors: {
          'editor.background': '#ffffff00',
          'scrollbar.shadow': '#ffffff00',
          focusBorder: accent,
          highlight: accent,
          'textLink.foreground': accent,
          'textLink.activeForeground': accent,
          'editorLink.activeForeground': accent,
          'list.highlightForeground': accent,
          'list.focusHighlightForeground': accent,
          'list.hoverBackground': faint,
          'editorSuggestWidget.selectedBackground': faint,
          'quickInputList.focusBackground': faint,
          'menu.selectionBackground': faint,
          'editorHoverWidget.background': SURFACE[mode],
          'editorSuggestWidget.background': SURFACE[mode],
          'editorWidget.background': SURFACE[mode],
          'quickInput.background': SURFACE[mode],
          'menu.background': SURFACE[mode],
        },
      });
    }
  }, [monaco]);
}

/** Stops Monaco from marking Turkish letters as look-alikes of others: names with ı and İ are this API's daily bread. */
export function usePlainLetters(): void {
  const editors = useGraphiQL(pick('queryEditor', 'variableEditor', 'headerEditor', 'responseEditor'));
  const { queryEditor, variableEditor, headerEditor, responseEditor } = editors;
  useEffect(() => {
    for (const editor of [queryEditor, variableEditor, headerEditor, responseEditor]) {
      editor?.updateOptions({ unicodeHighlight: { ambiguousCharacters: false } });
    }
  }, [queryEditor, variableEditor, headerEditor, responseEditor]);
}
