import { pick, useGraphiQL, useGraphiQLActions } from '@graphiql/react';
import { useEffect, useRef } from 'react';
import type { Example } from './examples';
import type { Session } from './session';
import { withAuthorization, withFacility } from './tabText';

const FILLED_KEY = 'nexfit:filledFacility';

/** Keeps every GraphiQL tab's headers and `$facility` in step with the login; returns a way to open an example. */
export function useTabs(session: Session | null): (example: Example) => void {
  const state = useGraphiQL(pick('tabs', 'activeTabIndex', 'queryEditor', 'headerEditor', 'variableEditor'));
  const { addTab, updateActiveTabValues } = useGraphiQLActions();
  const latest = useRef(state);
  latest.current = state;
  const known = useRef<Set<string>>(undefined);
  const ready = Boolean(state.headerEditor && state.variableEditor);
  const hadSession = useRef(false);

  useEffect(() => {
    // GraphiQL fills the editors of a new visit with the first tab's operation, but not with its variables.
    const { tabs, activeTabIndex, variableEditor } = latest.current;
    const variables = tabs[activeTabIndex]?.variables;
    if (ready && variables && !variableEditor?.getValue()) {
      variableEditor?.setValue(variables);
    }
  }, [ready]);

  useEffect(() => {
    if (!ready || (!session && !hadSession.current)) {
      return;
    }
    hadSession.current = session !== null;
    const { tabs, activeTabIndex, headerEditor, variableEditor } = latest.current;
    const earlier = localStorage.getItem(FILLED_KEY);
    const headers = (text: string) => withAuthorization(text, session?.token ?? null);
    const variables = (text: string) => (session?.facility ? withFacility(text, session.facility.id, earlier) : text);
    tabs.forEach((tab, index) => {
      if (index !== activeTabIndex) {
        // GraphiQL has no action for a tab that is not open; it reads these fields when the tab is opened.
        tab.headers = headers(tab.headers ?? '');
        tab.variables = variables(tab.variables ?? '');
      }
    });
    const open = { headers: headers(headerEditor?.getValue() ?? ''), variables: variables(variableEditor?.getValue() ?? '') };
    headerEditor?.setValue(open.headers);
    variableEditor?.setValue(open.variables);
    // GraphiQL takes an editor's text over a moment later: too late for somebody who changes the tab at once.
    updateActiveTabValues(open);
    if (session?.facility) {
      localStorage.setItem(FILLED_KEY, session.facility.id);
    }
  }, [ready, session, updateActiveTabValues]);

  const activeId = state.tabs[state.activeTabIndex]?.id;
  useEffect(() => {
    known.current ??= new Set(latest.current.tabs.map((tab) => tab.id));
    if (activeId && !known.current.has(activeId)) {
      known.current.add(activeId);
      const { headerEditor } = latest.current;
      if (session && headerEditor) {
        headerEditor.setValue(withAuthorization(headerEditor.getValue(), session.token));
      }
    }
  }, [activeId, session]);

  return (example) => {
    addTab();
    const { queryEditor, variableEditor } = latest.current;
    queryEditor?.setValue(example.query);
    variableEditor?.setValue(session?.facility ? withFacility(example.variables, session.facility.id, null) : example.variables);
    queryEditor?.focus();
  };
}
