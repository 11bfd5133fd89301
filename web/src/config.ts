/** What the server writes into the page's `#nexfit-config` element. */
export interface DemoLogin {
  label: string;
  email: string;
  password: string;
}

export interface PageConfig {
  demoLogins: DemoLogin[];
  version: string;
}

function read(): Partial<PageConfig> {
  const text = document.getElementById('nexfit-config')?.textContent;
  return text ? (JSON.parse(text) as Partial<PageConfig>) : {};
}

const given = read();

export const config: PageConfig = {
  demoLogins: given.demoLogins ?? [],
  version: given.version ?? '',
};

/** The page is served at the endpoint's own address. */
export const endpoint = window.location.pathname;

export const subscriptionUrl = `${window.location.protocol === 'https:' ? 'wss' : 'ws'}://${window.location.host}${endpoint}`;
