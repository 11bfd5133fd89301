import { useGraphiQL } from '@graphiql/react';
import { type FormEvent, useEffect, useState } from 'react';
import { config } from './config';
import { examples } from './examples';
import icon from './icon.svg';
import { LoginError, logIn, type Session, storedSession, storeSession } from './session';
import { useTabs } from './useTabs';

// setTimeout fires at once for anything longer than a signed 32-bit number of milliseconds.
const LONGEST_TIMER = 2 ** 31 - 1;

function clock(time: number): string {
  return new Date(time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}

function useExpired(session: Session | null): boolean {
  const [, wake] = useState(0);
  const left = session ? session.expiresAt - Date.now() : 0;
  useEffect(() => {
    if (left > 0) {
      const timer = setTimeout(() => wake((count) => count + 1), Math.min(left, LONGEST_TIMER));
      return () => clearTimeout(timer);
    }
    return undefined;
  });
  return session !== null && left <= 0;
}

function refusedForLogin(response: string | null | undefined): boolean {
  if (!response?.includes('UNAUTHENTICATED')) {
    return false;
  }
  try {
    const { errors } = JSON.parse(response) as { errors?: { extensions?: { code?: string } }[] };
    return errors?.some((error) => error.extensions?.code === 'UNAUTHENTICATED') ?? false;
  } catch {
    return false;
  }
}

function statusText(session: Session | null, expired: boolean, refused: boolean): { text: string; warning: boolean } {
  if (session && expired) {
    return { text: `Your login ended at ${clock(session.expiresAt)}: log in again.`, warning: true };
  }
  if (session && refused) {
    return { text: 'The token of this answer was not accepted: log in again, then run it again.', warning: true };
  }
  if (refused) {
    return { text: 'This operation needs a login: choose one, then run it again.', warning: true };
  }
  if (!session) {
    return { text: 'Not logged in', warning: false };
  }
  const place = session.facility ? session.facility.name : 'looks after no facility';
  return { text: `${session.firstName} · ${place} · until ${clock(session.expiresAt)}`, warning: false };
}

function LoginForm({ busy, onSubmit }: { busy: boolean; onSubmit: (email: string, password: string) => void }) {
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    onSubmit(String(fields.get('email')), String(fields.get('password')));
  };
  return (
    <form className="bar-form" onSubmit={submit}>
      <label>
        E-mail
        <input name="email" type="email" autoComplete="username" required />
      </label>
      <label>
        Password
        <input name="password" type="password" autoComplete="current-password" required />
      </label>
      <button type="submit" disabled={busy}>
        Log in
      </button>
    </form>
  );
}

/** The strip above GraphiQL: who is logged in, the demo logins and the examples. */
export function Bar() {
  const [session, setSession] = useState<Session | null>(storedSession);
  const [busy, setBusy] = useState<string | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [ownAccount, setOwnAccount] = useState(config.demoLogins.length === 0);
  const openExample = useTabs(session);
  const expired = useExpired(session);
  const response = useGraphiQL((state) => state.tabs[state.activeTabIndex]?.response);
  const status = statusText(session, expired, refusedForLogin(response));

  const keep = (next: Session | null) => {
    storeSession(next);
    setSession(next);
  };

  const attempt = async (who: string, email: string, password: string) => {
    setBusy(who);
    setProblem(null);
    try {
      keep(await logIn(email, password));
    } catch (error) {
      if (!(error instanceof LoginError)) {
        throw error;
      }
      setProblem(error.message);
    } finally {
      setBusy(null);
    }
  };

  return (
    <>
      <h1 className="bar-name">
        <img src={icon} alt="" width="22" height="22" />
        NexFit <span>GraphQL</span>
      </h1>
      {config.demoLogins.length > 0 && (
        <div className="bar-group" role="group" aria-label="Demo logins">
          <span className="bar-hint">Log in as demo</span>
          {config.demoLogins.map(({ label, email, password }) => (
            <button
              key={email}
              type="button"
              aria-label={`Log in as demo ${label}`}
              aria-pressed={session?.email === email && !expired}
              disabled={busy !== null}
              onClick={() => void attempt(label, email, password)}
            >
              {label}
            </button>
          ))}
          <button
            type="button"
            className="bar-quiet"
            aria-expanded={ownAccount}
            onClick={() => setOwnAccount((shown) => !shown)}
          >
            Other account
          </button>
        </div>
      )}
      {ownAccount && (
        <LoginForm busy={busy !== null} onSubmit={(email, password) => void attempt(email, email, password)} />
      )}
      <div className="bar-end">
        <div className={problem || status.warning ? 'bar-status warning' : 'bar-status'}>
          {/* Both stay in the page: a live region that appears together with its text is not read out. */}
          <p role="status">{busy ? `Logging in as ${busy}…` : problem ? '' : status.text}</p>
          <p role="alert">{problem}</p>
        </div>
        {session && (
          <button type="button" className="bar-quiet" onClick={() => keep(null)}>
            Log out
          </button>
        )}
        <select
          aria-label="Open an example operation"
          value=""
          onChange={(event) => {
            const example = examples.find(({ title }) => title === event.target.value);
            if (example) {
              openExample(example);
            }
          }}
        >
          <option value="" disabled hidden>
            Examples
          </option>
          {examples.map(({ title }) => (
            <option key={title}>{title}</option>
          ))}
        </select>
      </div>
    </>
  );
}
