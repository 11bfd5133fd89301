// NexFit's access tokens: JWT signed with HS256.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { GraphQLError } from 'graphql';

const SECRET = process.env.NEXFIT_AUTH_SECRET;

// The id of the signed-in user, null for a guest; throws for a token that does not hold.
export function viewerOf(authorization, now) {
  if (!authorization) return null;
  const [header, claims, signature] = authorization.slice('Bearer '.length).split('.');
  const expected = createHmac('sha256', SECRET).update(`${header}.${claims}`).digest();
  const given = Buffer.from(signature ?? '', 'base64url');
  if (given.length === expected.length && timingSafeEqual(given, expected)) {
    const { alg } = JSON.parse(Buffer.from(header, 'base64url'));
    const { iss, use, exp, sub } = JSON.parse(Buffer.from(claims, 'base64url'));
    if (alg === 'HS256' && iss === 'nexfit' && use === 'access' && exp * 1000 > now.getTime()) return sub;
  }
  throw new GraphQLError('The access token is not valid or has expired.', { extensions: { code: 'UNAUTHENTICATED' } });
}
