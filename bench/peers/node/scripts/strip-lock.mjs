// Removes every address from package-lock.json: npm copies each package's funding links into it (and a `resolved`
// address where .npmrc was not honoured). Neither is needed to install, `integrity` says what a package must be.
import { readFileSync, writeFileSync } from 'node:fs';

const path = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(path, 'utf8'));
for (const entry of Object.values(lock.packages)) {
  delete entry.funding;
  delete entry.resolved;
}
const text = `${JSON.stringify(lock, null, 2)}\n`;
if (text.includes('://')) {
  throw new Error('package-lock.json still contains an address');
}
writeFileSync(path, text);
