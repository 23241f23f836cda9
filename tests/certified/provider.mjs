// The certified OpenID provider of the npm package `oidc-provider`, set up to be strict.
//
//     node provider.mjs '{"port": 0, "accessTokenSeconds": 3600, "lifeSeconds": 7200}'
//
// The one line that it prints says, as JSON, where it is. It ends when its stdin closes, or when its life is over.

import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

// The package says on the console which of its defaults are not meant for production.
console.info = () => {};
console.warn = () => {};
const { Provider, errors } = await import('oidc-provider');

const settings = { port: 0, accessTokenSeconds: 3600, lifeSeconds: 7200, ...JSON.parse(process.argv[2] ?? '{}') };
setTimeout(() => process.exit(0), settings.lifeSeconds * 1000).unref();
process.stdin.on('close', () => process.exit(0)).resume();

const FIXED_REDIRECT_URI = 'http://127.0.0.1:51234/callback';
const SECRET = 'a:b%c&d+e=f/g-0123456789abcdefghij';
const API = 'https://api.example/';
const PEOPLE = {
  petra: { name: 'Petra Prüfer', email: 'petra@example.org', email_verified: true },
  klaus: { name: 'Klaus Käufer', email: 'klaus@example.org', email_verified: true },
};

const everyClient = { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] };
const publicClient = {
  ...everyClient,
  token_endpoint_auth_method: 'none',
  application_type: 'native', // a loopback redirect URI on any port
  redirect_uris: ['http://127.0.0.1/callback', 'http://[::1]/callback', 'http://localhost/callback'],
};
const confidentialClient = {
  ...everyClient,
  client_secret: SECRET,
  application_type: 'web', // this redirect URI, to the letter
  redirect_uris: [FIXED_REDIRECT_URI],
};
const clients = [
  { ...publicClient, client_id: 'lexoffice-nb' },
  {
    ...publicClient,
    client_id: 'lexoffice-nb-signed',
    id_token_signed_response_alg: 'ES256',
    userinfo_signed_response_alg: 'ES256',
  },
  { ...confidentialClient, client_id: 'lexoffice-nb:basic', token_endpoint_auth_method: 'client_secret_basic' },
  { ...confidentialClient, client_id: 'lexoffice-nb:post', token_endpoint_auth_method: 'client_secret_post' },
];

function newKey(algorithm) {
  const { privateKey } =
    algorithm === 'RS256'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), alg: algorithm, use: 'sig' };
}

// What was asked and how it was answered, in order. It holds no secret.
const journal = [];
const refreshTokensSeen = new Set();

async function keepJournal(ctx, next) {
  await next();
  const form = ctx.oidc?.body ?? {};
  journal.push({
    method: ctx.method,
    path: ctx.path,
    status: ctx.status,
    error: ctx.body?.error,
    grant_type: form.grant_type,
    token_type_hint: form.token_type_hint,
    client_id: ctx.oidc?.client?.clientId,
    client_authentication: ctx.get('authorization').split(' ')[0] || (form.client_secret ? 'form' : ''),
    refresh_token_seen_before: refreshTokensSeen.has(form.refresh_token),
  });
  if (form.refresh_token) refreshTokensSeen.add(form.refresh_token);
}

const server = createServer();
server.listen(settings.port, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;
const journalKey = randomBytes(32).toString('base64url');

const provider = new Provider(issuer, {
  clients,
  jwks: { keys: [newKey('RS256'), newKey('ES256')] },
  cookies: { keys: [randomBytes(32).toString('base64url')] },
  clockTolerance: 0,
  scopes: ['openid', 'offline_access', 'invoice.read', 'contact.read'],
  claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'] },
  findAccount: (ctx, id) => PEOPLE[id] && { accountId: id, claims: () => ({ sub: id, ...PEOPLE[id] }) },
  pkce: { required: () => true },
  responseTypes: ['code'],
  issueRefreshToken: () => true,
  rotateRefreshToken: true,
  ttl: {
    AccessToken: settings.accessTokenSeconds,
    AuthorizationCode: 60,
    Grant: 86400,
    IdToken: 3600,
    Interaction: 600,
    RefreshToken: 86400,
    Session: 86400,
  },
  features: {
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    jwtUserinfo: { enabled: true },
    revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo(ctx, resource) {
        if (resource !== API) throw new errors.InvalidTarget();
        return { scope: 'invoice.read contact.read', accessTokenTTL: settings.accessTokenSeconds };
      },
    },
  },
});
provider.use(keepJournal);
provider.on('server_error', (ctx, error) => console.error(error));

const answer = provider.callback();
server.on('request', (request, response) => {
  if (request.url !== '/-/journal') {
    answer(request, response);
  } else if (request.headers['x-journal-key'] === journalKey) {
    response.end(JSON.stringify(journal));
  } else {
    response.writeHead(404).end();
  }
});
console.log(JSON.stringify({ issuer, port: server.address().port, journalKey, clientSecret: SECRET, api: API }));
