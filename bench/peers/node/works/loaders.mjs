// DataLoaders: one command per level for all parents, with projections. Ids are hexadecimal text.
import DataLoader from 'dataloader';
import { ObjectId } from 'mongodb';
import * as sql from './sql.mjs';

const FACILITY = {
  name: 1,
  type: 1,
  timezone: 1,
  'address.city': 1,
  'address.coordinates': 1,
  operatingHours: 1,
  ownerId: 1,
  'staff.userId': 1,
  'staff.permissions': 1,
};
const CLASS = { name: 1, category: 1, 'instructor.userId': 1, facilityId: 1 };
const OCCURRENCE = { startsAt: 1, capacity: 1, seatsTaken: 1, waitlisted: 1 };
const PLAN = { name: 1, price: 1, currency: 1, facilityId: 1 };

const objectIds = (ids) => ids.map((id) => ObjectId.createFromHexString(id));

// The loaders of one request, made when they are asked for.
export class Loaders {
  #made = new Map();

  constructor(mongo, postgres, now) {
    this.mongo = mongo;
    this.postgres = postgres;
    this.now = now;
  }

  get facilityById() {
    return this.#loader('facilityById', (ids) => this.#byIds('facilities', ids, FACILITY));
  }

  get userById() {
    return this.#loader('userById', (ids) => this.#byIds('users', ids, { firstName: 1, lastName: 1 }));
  }

  get planById() {
    return this.#loader('planById', (ids) => this.#byIds('memberships', ids, { name: 1 }));
  }

  get plansByFacility() {
    return this.#loader('plansByFacility', async (ids) => {
      const found = await this.mongo
        .collection('memberships')
        .find({ facilityId: { $in: objectIds(ids) }, isActive: true }, { projection: PLAN, batchSize: 10_000 })
        .sort({ name: 1, _id: 1 })
        .toArray();
      const plans = Map.groupBy(found, ({ facilityId }) => facilityId.toHexString());
      return ids.map((id) => plans.get(id) ?? []);
    });
  }

  classesByFacility(first) {
    return this.#loader(`classesByFacility:${first}`, async (ids) => {
      const sort = { name: 1, _id: 1 };
      if (ids.length > 1) return this.#firstByParent('classes', 'facilityId', ids, { isActive: true }, sort, first, CLASS);
      const found = await this.mongo
        .collection('classes')
        .find({ facilityId: ObjectId.createFromHexString(ids[0]), isActive: true }, { projection: CLASS })
        .sort(sort)
        .limit(first)
        .toArray();
      return [found];
    });
  }

  occurrencesByClass(first) {
    return this.#loader(`occurrencesByClass:${first}`, (ids) => {
      const sort = { startsAt: 1, _id: 1 };
      const next = { startsAt: { $gte: this.now } };
      return this.#firstByParent('class_occurrences', 'classId', ids, next, sort, first, OCCURRENCE);
    });
  }

  // The keys are members' rows.
  get lastVisitOfMember() {
    return this.#loader('lastVisitOfMember', async (members) => {
      // The overview's members are of one facility.
      const facilityId = ObjectId.createFromHexString(members[0].facility_id);
      const found = await this.mongo
        .collection('visits')
        .aggregate([
          { $match: { facilityId, userId: { $in: objectIds(members.map(({ user_id }) => user_id)) } } },
          { $sort: { facilityId: 1, userId: 1, at: -1 } },
          { $group: { _id: '$userId', at: { $first: '$at' } } },
        ])
        .toArray();
      const latest = new Map(found.map(({ _id, at }) => [_id.toHexString(), at]));
      return members.map(({ user_id }) => latest.get(user_id) ?? null);
    });
  }

  get subscribersByPlan() {
    return this.#loader('subscribersByPlan', async (ids) => {
      const { rows } = await this.postgres.query({ ...sql.subscribersByPlan, values: [ids] });
      const counts = new Map(rows.map(({ plan_id, subscribers }) => [plan_id, subscribers]));
      return ids.map((id) => counts.get(id) ?? 0);
    });
  }

  // The keys are facilities' documents.
  revenueOfFacility(from, to, by) {
    return this.#loader(`revenueOfFacility:${from}:${to}:${by}`, async (facilities) => {
      const ids = facilities.map(({ _id }) => _id.toHexString());
      const zones = facilities.map(({ timezone }) => timezone);
      const { rows } = await this.postgres.query({ ...sql.revenueByPeriod, values: [ids, zones, from, to, by] });
      const periods = Map.groupBy(rows, ({ facility_id }) => facility_id);
      return ids.map((id) => periods.get(id) ?? []);
    });
  }

  get outstandingByFacility() {
    return this.#loader('outstandingByFacility', async (ids) => {
      const { rows } = await this.postgres.query({ ...sql.outstanding, values: [ids] });
      const found = new Map(rows.map((row) => [row.facility_id, row]));
      return ids.map((id) => found.get(id) ?? null);
    });
  }

  // The keys are `{ id, today }` of facilities.
  overdueByLastPayment(first) {
    return this.#loader(`overdueByLastPayment:${first}`, async (facilities) => {
      const ids = facilities.map(({ id }) => id);
      const todays = facilities.map(({ today }) => today);
      const { rows } = await this.postgres.query({ ...sql.overdueByLastPayment, values: [ids, todays, first] });
      const members = Map.groupBy(rows, ({ facility_id }) => facility_id);
      return ids.map((id) => members.get(id) ?? []);
    });
  }

  #loader(name, load) {
    let loader = this.#made.get(name);
    if (loader === undefined) {
      loader = new DataLoader(load);
      this.#made.set(name, loader);
    }
    return loader;
  }

  async #byIds(collection, ids, projection) {
    const found = await this.mongo
      .collection(collection)
      .find({ _id: { $in: objectIds(ids) } }, { projection, batchSize: 10_000 })
      .toArray();
    const byId = new Map(found.map((one) => [one._id.toHexString(), one]));
    return ids.map((id) => byId.get(id) ?? null);
  }

  // The first documents of each parent; the lookup seeks the index once per parent and stops at the limit.
  async #firstByParent(from, foreignField, ids, match, sort, limit, projection) {
    const pipeline = [{ $match: match }, { $sort: sort }, { $limit: limit }, { $project: projection }];
    const found = await this.mongo
      .aggregate([
        { $documents: objectIds(ids).map((_id) => ({ _id })) },
        { $lookup: { from, localField: '_id', foreignField, pipeline, as: 'rows' } },
      ])
      .toArray();
    return found.map(({ rows }) => rows); // in the order of `$documents`
  }
}
