/** The login kept for this browser tab: a reload keeps it, closing the tab forgets it. */
import { endpoint } from './config';

export interface Session {
  token: string;
  /** Milliseconds since 1970. */
  expiresAt: number;
  email: string;
  firstName: string;
  facility: { id: string; name: string } | null;
}

/** A login that did not work, in words for the user. */
export class LoginError extends Error {}

interface GraphQLAnswer<Data> {
  data?: Data | null;
  errors?: { message: string }[];
}

interface LoginData {
  login: {
    accessToken: string | null;
    expiresAt: string | null;
    viewer: { id: string; firstName: string } | null;
    userErrors: { code: string; message: string }[];
  };
}

interface FacilitiesData {
  viewer: { facilities: { nodes: { id: string; name: string }[] } } | null;
}

const LOGIN = `mutation Login($input: LoginInput!) {
  login(input: $input) { accessToken expiresAt viewer { id firstName } userErrors { code message path } }
}`;

const FIRST_FACILITY = 'query FirstFacility { viewer { facilities(first: 1) { nodes { id name } } } }';

const STORAGE_KEY = 'nexfit:session';

async function post<Data>(query: string, variables: object, token?: string): Promise<GraphQLAnswer<Data>> {
  let response: Response;
  try {
    response = await fetch(endpoint, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/graphql-response+json, application/json;q=0.9',
        ...(token ? { authorization: `Bearer ${token}` } : {}),
      },
      body: JSON.stringify({ query, variables }),
    });
  } catch {
    throw new LoginError('The server does not answer. Is it still running?');
  }
  try {
    return (await response.json()) as GraphQLAnswer<Data>;
  } catch {
    throw new LoginError(`The server answered with status ${response.status} and no JSON.`);
  }
}

/** Logs in and looks up the viewer's first facility. Throws a LoginError with a message for the user. */
export async function logIn(email: string, password: string): Promise<Session> {
  const answer = await post<LoginData>(LOGIN, { input: { email, password } });
  const login = answer.data?.login;
  if (!login?.accessToken) {
    throw new LoginError(login?.userErrors[0]?.message ?? answer.errors?.[0]?.message ?? 'The login was refused.');
  }
  const facilities = await post<FacilitiesData>(FIRST_FACILITY, {}, login.accessToken);
  return {
    token: login.accessToken,
    expiresAt: login.expiresAt ? Date.parse(login.expiresAt) : Number.MAX_SAFE_INTEGER,
    email,
    firstName: login.viewer?.firstName ?? email,
    facility: facilities.data?.viewer?.facilities.nodes[0] ?? null,
  };
}

export function storeSession(session: Session | null): void {
  if (session) {
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify(session));
  } else {
    sessionStorage.removeItem(STORAGE_KEY);
  }
}

export function storedSession(): Session | null {
  const text = sessionStorage.getItem(STORAGE_KEY);
  return text ? (JSON.parse(text) as Session) : null;
}
