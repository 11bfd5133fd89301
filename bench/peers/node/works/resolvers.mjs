// Resolvers of the part of schema.graphql that is measured.
import { isOpen, localToday, require } from './rules.mjs';
import { scalars } from './scalars.mjs';

const money = (amount, currency) => ({ amount, currency });

function localId(globalId, type) {
  const [name, id] = Buffer.from(globalId, 'base64url').toString().split(':');
  return name === type ? id : null;
}

// The page of a list that is one row longer where there is more.
const page = (rows, first) => ({ nodes: rows.length > first ? rows.slice(0, first) : rows });

export const resolvers = {
  ...scalars,
  FacilityType: { GYM: 'gym', STUDIO: 'studio' },
  MemberStatus: Object.fromEntries(
    ['NONE', 'INCOMPLETE', 'INCOMPLETE_EXPIRED', 'ACTIVE', 'PAST_DUE', 'SUSPENDED', 'FROZEN', 'CANCELLED', 'EXPIRED'].map(
      (name) => [name, name.toLowerCase()],
    ),
  ),
  Period: { DAY: 'day', WEEK: 'week', MONTH: 'month' },
  Node: { __resolveType: () => null }, // nothing that is measured asks for it

  Query: {
    facility: (_, { id }, { loaders }) => {
      const local = localId(id, 'Facility');
      return local && loaders.facilityById.load(local);
    },
  },
  Facility: {
    openNow: ({ operatingHours, timezone }, _, { now }) =>
      operatingHours ? isOpen(operatingHours, timezone, now) : null,
    classes: async ({ _id }, { first }, { loaders }) =>
      page(await loaders.classesByFacility((first ?? 20) + 1).load(_id.toHexString()), first ?? 20),
    memberships: ({ _id }, _, { loaders }) => loaders.plansByFacility.load(_id.toHexString()),
    revenue: (facility, { from, to, by }, { viewer, loaders }) => {
      require(viewer, facility, 'finance_read');
      return loaders.revenueOfFacility(from, to, by).load(facility);
    },
    outstanding: (facility, _, { viewer, loaders }) => {
      require(viewer, facility, 'finance_read');
      return loaders.outstandingByFacility.load(facility._id.toHexString());
    },
    members: async (facility, { first, filter, orderBy }, { viewer, now, loaders }) => {
      require(viewer, facility, 'members_read');
      if (!filter?.overdue || orderBy?.field !== 'LAST_PAYMENT' || orderBy.direction !== 'DESC') {
        throw new Error('this list of members is not part of the benchmark');
      }
      const key = { id: facility._id.toHexString(), today: localToday(facility.timezone, now) };
      return page(await loaders.overdueByLastPayment((first ?? 20) + 1).load(key), first ?? 20);
    },
  },
  Address: {
    latitude: ({ coordinates }) => coordinates?.coordinates[1] ?? null,
    longitude: ({ coordinates }) => coordinates?.coordinates[0] ?? null,
  },
  Class: {
    instructor: ({ instructor }, _, { loaders }) =>
      instructor ? loaders.userById.load(instructor.userId.toHexString()) : null,
    occurrences: ({ _id }, { first }, { loaders }) => loaders.occurrencesByClass(first).load(_id.toHexString()),
  },
  Membership: {
    price: ({ price, currency }) => money(price, currency),
    activeSubscribers: async ({ _id, facilityId }, _, { viewer, loaders }) => {
      const facility = await loaders.facilityById.load(facilityId.toHexString());
      require(viewer, facility, 'members_read');
      return loaders.subscribersByPlan.load(_id.toHexString());
    },
  },
  RevenuePeriod: { total: ({ total, currency }) => money(total, currency) },
  Outstanding: { total: ({ total, currency }) => money(total, currency) },
  Member: {
    user: ({ user_id }, _, { loaders }) => loaders.userById.load(user_id),
    plan: ({ plan_id }, _, { loaders }) => (plan_id ? loaders.planById.load(plan_id) : null),
    balance: ({ balance, currency }) => (balance === null ? null : money(balance, currency)),
    lastPaymentAt: ({ last_payment_at }) => last_payment_at,
    lastVisitAt: (member, _, { loaders }) => loaders.lastVisitOfMember.load(member),
  },
};
