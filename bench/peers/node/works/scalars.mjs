// NexFit's scalars as text, written as NexFit writes them.
import { GraphQLScalarType } from 'graphql';

// A JavaScript date in UTC; fractions of a second only where there are some, and then six digits.
export function instantOfDate(date) {
  const text = date.toISOString();
  return text.endsWith('.000Z') ? `${text.slice(0, 19)}Z` : `${text.slice(0, 23)}000Z`;
}

// PostgreSQL's text of an instant in a session whose zone is UTC.
export function instantOfText(text) {
  const fraction = text.length > 22 ? `.${text.slice(20, -3).padEnd(6, '0')}` : '';
  return `${text.slice(0, 10)}T${text.slice(11, 19)}${fraction}Z`;
}

const scalar = (name, serialize) => new GraphQLScalarType({ name, serialize });

export const scalars = {
  Date: scalar('Date', String),
  DateTime: scalar('DateTime', (value) => (value instanceof Date ? instantOfDate(value) : value)),
  Decimal: scalar('Decimal', String), // PostgreSQL's text, or a Decimal128
};
