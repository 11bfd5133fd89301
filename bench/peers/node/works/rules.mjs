// Rules of the domain: rights at a facility, and its wall clock.
import { GraphQLError } from 'graphql';

// Throws unless the viewer owns the facility or is staff there with the permission.
export function require(viewer, facility, permission) {
  if (viewer === null) throw new GraphQLError('Sign in to ask for this.', { extensions: { code: 'UNAUTHENTICATED' } });
  if (!may(viewer, facility, permission)) {
    throw new GraphQLError('You do not have the right to see this.', { extensions: { code: 'FORBIDDEN' } });
  }
}

function may(viewer, { ownerId, staff }, permission) {
  if (ownerId?.toHexString() === viewer) return true;
  return (staff ?? []).some((entry) => entry.userId.toHexString() === viewer && entry.permissions?.includes(permission));
}

const DAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];

// Whether the facility is open; an opening whose close is at or before its open ends on the next day.
export function isOpen(hours, zone, now) {
  const { weekday, hour, minute } = partsOf(clockOf(zone), now);
  const today = weekday.toLowerCase();
  const yesterday = DAYS[(DAYS.indexOf(today) + 6) % 7];
  const time = `${hour}:${minute}`;
  return hours.some(({ day, openTime, closeTime, isClosed }) => {
    if (isClosed) return false;
    const pastMidnight = closeTime <= openTime;
    if (day === today && openTime <= time && (pastMidnight || time < closeTime)) return true;
    return day === yesterday && pastMidnight && time < closeTime;
  });
}

// The facility's calendar day, YYYY-MM-DD.
export function localToday(zone, now) {
  const { year, month, day } = partsOf(clockOf(zone), now);
  return `${year}-${month}-${day}`;
}

const clocks = new Map(); // making a formatter is expensive

function clockOf(zone) {
  let clock = clocks.get(zone);
  if (clock === undefined) {
    clock = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      weekday: 'long',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
    });
    clocks.set(zone, clock);
  }
  return clock;
}

function partsOf(clock, now) {
  const parts = {};
  for (const { type, value } of clock.formatToParts(now)) parts[type] = value;
  return parts;
}
