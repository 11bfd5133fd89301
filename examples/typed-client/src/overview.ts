// Signs in as the demo's owner and prints what members owe: node out/overview.js [address]
import { ApiError, graphql, NexFit } from './nexfit.js';

const Debtors = graphql(`
  query Debtors($first: Int!) {
    viewer {
      facilities(first: 1) {
        nodes {
          name
          members(first: $first, filter: { overdue: true }, orderBy: { field: LAST_PAYMENT, direction: DESC }) {
            nodes { user { firstName lastName } balance { amount currency } lastPaymentAt }
          }
        }
      }
    }
  }
`);

const guest = new NexFit(process.argv[2] ?? 'http://127.0.0.1:8000/graphql');
const owner = await guest.signIn('owner@demo.nexfit.app', 'nexfit-demo');
const { viewer } = await owner.run(Debtors, { first: 3 });
for (const facility of viewer?.facilities?.nodes ?? []) {
  console.log(facility.name);
  for (const member of facility.members?.nodes ?? []) {
    console.log(`  ${member.user?.firstName} owes ${member.balance?.amount} ${member.balance?.currency}`);
  }
}

try {
  await guest.signIn('owner@demo.nexfit.app', 'wrong');
} catch (error) {
  if (!(error instanceof ApiError)) throw error;
  console.log(error.code);
}
