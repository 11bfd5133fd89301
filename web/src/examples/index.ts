import { config } from '../config';
import facilityActivity from './FacilityActivity.graphql?raw';
import findFacilities from './FindFacilities.graphql?raw';
import login from './Login.graphql?raw';
import ownerOverview from './OwnerOverview.graphql?raw';
import viewer from './Viewer.graphql?raw';

/** An operation a new user can run at once; one file each, checked against schema.graphql by the tests. */
export interface Example {
  title: string;
  query: string;
  variables: string;
}

function isoDate(date: Date): string {
  const two = (value: number) => String(value).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** The last six months, the current one included. */
function period(now: Date): { from: string; to: string } {
  return { from: isoDate(new Date(now.getFullYear(), now.getMonth() - 5, 1)), to: isoDate(now) };
}

function json(value: unknown): string {
  return JSON.stringify(value, null, 2);
}

const demo = config.demoLogins[0];

export const examples: Example[] = [
  { title: 'OwnerOverview', query: ownerOverview, variables: json({ facility: '', ...period(new Date()) }) },
  {
    title: 'Login',
    query: login,
    variables: json({ input: { email: demo?.email ?? '', password: demo?.password ?? '' } }),
  },
  { title: 'FindFacilities', query: findFacilities, variables: json({ city: 'İstanbul' }) },
  { title: 'Viewer', query: viewer, variables: '' },
  { title: 'FacilityActivity', query: facilityActivity, variables: json({ facility: '', after: null }) },
];
