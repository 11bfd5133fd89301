// A client of NexFit whose answers have the types of the operations it sends. The only thing it adds to `fetch` is
// what the API promises: errors have codes, amounts are exact strings, instants are RFC 3339.
import { initGraphQLTada, type TadaDocumentNode } from 'gql.tada';
import { print } from 'graphql';
import type { introspection } from './schema-types.js';

export const graphql = initGraphQLTada<{
  introspection: introspection;
  scalars: { DateTime: string; Date: string; Decimal: string; EmailAddress: string; URL: string };
}>();

export class ApiError extends Error {
  constructor(
    readonly code: string,
    message: string,
    /** Seconds to wait, where the code is RATE_LIMITED. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

export class NexFit {
  constructor(
    private readonly url: string,
    private readonly token?: string,
    private readonly language = 'en',
  ) {}

  /** The data of an operation; throws ApiError for the first error there is. */
  async run<Data, Variables>(document: TadaDocumentNode<Data, Variables>, variables: Variables): Promise<Data> {
    const response = await fetch(this.url, {
      method: 'POST',
      headers: {
        accept: 'application/graphql-response+json',
        'content-type': 'application/json',
        'accept-language': this.language,
        ...(this.token ? { authorization: `Bearer ${this.token}` } : {}),
      },
      body: JSON.stringify({ query: print(document), variables }),
    });
    const answer = (await response.json()) as {
      data?: Data;
      errors?: { message: string; extensions: { code: string; retryAfter?: number } }[];
    };
    const [error] = answer.errors ?? [];
    if (error) throw new ApiError(error.extensions.code, error.message, error.extensions.retryAfter);
    return answer.data as Data;
  }

  /** A client for the person who signs in; throws ApiError with the payload's code. */
  async signIn(email: string, password: string): Promise<NexFit> {
    const { login } = await this.run(
      graphql(`
        mutation SignIn($input: LoginInput!) {
          login(input: $input) { accessToken userErrors { code message } }
        }
      `),
      { input: { email, password } },
    );
    const [refused] = login.userErrors;
    if (refused || !login.accessToken) throw new ApiError(refused?.code ?? 'INTERNAL', refused?.message ?? '');
    return new NexFit(this.url, login.accessToken, this.language);
  }
}
