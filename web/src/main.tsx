import { formatShortcutForOS, KEY_MAP, useGraphiQL } from '@graphiql/react';
import { createGraphiQLFetcher } from '@graphiql/toolkit';
import { GraphiQL } from 'graphiql';
import 'graphiql/setup-workers/vite';
import '@graphiql/react/style.css';
import '@graphiql/plugin-doc-explorer/style.css';
import '@graphiql/plugin-history/style.css';
import 'graphiql/graphiql.css';
import { Component, type ReactNode } from 'react';
import { createPortal } from 'react-dom';
import { createRoot } from 'react-dom/client';
import { Bar } from './Bar';
import { endpoint, subscriptionUrl } from './config';
import { useEditorAccent, usePlainLetters } from './editors';
import { examples } from './examples';
import './page.css';

// A subscription opens its own socket when it starts; the tab's headers travel as the connection's parameters.
const fetcher = createGraphiQLFetcher({ url: endpoint, subscriptionUrl });

const defaultTabs = examples.map(({ query, variables }) => ({ query, variables }));

class Guard extends Component<{ children: ReactNode }, { failed: string | null }> {
  override state = { failed: null };

  static getDerivedStateFromError(error: unknown) {
    return { failed: error instanceof Error ? error.message : String(error) };
  }

  override render() {
    return this.state.failed === null ? (
      this.props.children
    ) : (
      <div className="notice" role="alert">
        <p>GraphiQL stopped: {this.state.failed}</p>
        <p>
          <button type="button" onClick={() => window.location.reload()}>
            Reload the page
          </button>
        </p>
      </div>
    );
  }
}

/** Lives inside GraphiQL for its state, shown above it and before it in reading order. */
function Strip({ place }: { place: HTMLElement }) {
  useEditorAccent();
  usePlainLetters();
  const fetchError = useGraphiQL((state) => state.fetchError);
  return createPortal(
    <>
      <Bar />
      {fetchError !== null && (
        <p className="bar-problem" role="alert">
          The schema could not be read, so there is no completion. The server may be down or has introspection turned off.
          Operations can still be sent.
        </p>
      )}
    </>,
    place,
  );
}

/** What to do first, where the answer will be. */
function FirstSteps() {
  const empty = useGraphiQL((state) => !state.isFetching && !state.tabs[state.activeTabIndex]?.response);
  return empty ? (
    <p className="first-steps">
      Run the operation with the ▶ button or <kbd>{formatShortcutForOS(KEY_MAP.runQuery.key)}</kbd>. What needs a login
      says so; log in above and every tab carries your token.
    </p>
  ) : null;
}

const bar = document.getElementById('bar');
const app = document.getElementById('app');
if (!bar || !app) {
  throw new Error('The page lost its #bar or #app element.');
}
createRoot(app).render(
  <Guard>
    <GraphiQL fetcher={fetcher} defaultTabs={defaultTabs} defaultEditorToolsVisibility>
      <GraphiQL.Logo>{''}</GraphiQL.Logo>
      <GraphiQL.Footer>
        <FirstSteps />
      </GraphiQL.Footer>
      <Strip place={bar} />
    </GraphiQL>
  </Guard>,
);
