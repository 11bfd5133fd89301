/** Edits of the JSON texts a GraphiQL tab carries. A text that is not a plain JSON object is the user's: it stays as it is. */

function parseObject(text: string): Record<string, unknown> | null {
  if (!text.trim()) {
    return {};
  }
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

/** The headers with this token as Authorization, or without that header when the token is null. */
export function withAuthorization(headers: string, token: string | null): string {
  const value = parseObject(headers);
  if (!value) {
    return headers;
  }
  const others = Object.entries(value).filter(([name]) => name.toLowerCase() !== 'authorization');
  const entries = token ? [['Authorization', `Bearer ${token}`], ...others] : others;
  return entries.length ? JSON.stringify(Object.fromEntries(entries), null, 2) : '';
}

/** The variables with `facility` set, where it is empty or holds what an earlier login put there. */
export function withFacility(variables: string, id: string, earlier: string | null): string {
  const value = parseObject(variables);
  if (!value || !('facility' in value) || (value.facility !== '' && value.facility !== earlier)) {
    return variables;
  }
  return JSON.stringify({ ...value, facility: id }, null, 2);
}
