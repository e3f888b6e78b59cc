// oidc-provider, which is certified, with the clients of the tests: what it fails
// is a wrong test.
import Provider from 'oidc-provider'

const { PORT } = process.env
const issuer = `http://localhost:${PORT}`
const at = (id) => `http://localhost:9999/${id}/callback`
const client = (client_id, client_secret, more = {}) => ({
  client_id, ...(client_secret ? { client_secret } : { token_endpoint_auth_method: 'none' }), redirect_uris: [at(client_id)],
  grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], ...more,
})
const provider = new Provider(issuer, {
  clients: [
    client('wiki', 'wiki-0123456789abcdef0123456789abcdef', { post_logout_redirect_uris: ['http://localhost:9999/wiki/after'] }),
    client('second', 'second-0123456789abcdef0123456789abcd'),
    client('posts', 'posts-0123456789abcdef0123456789abcde', { token_endpoint_auth_method: 'client_secret_post' }),
    client('legacy', 'legacy-0123456789abcdef0123456789abc'),
    client('spa'),
  ],
  claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'], acr: null, auth_time: null, sid: null, iss: null },
  features: {
    devInteractions: { enabled: true }, introspection: { enabled: true }, revocation: { enabled: true },
    claimsParameter: { enabled: true }, rpInitiatedLogout: { enabled: true }, backchannelLogout: { enabled: true },
  },
  pkce: { required: (_, c) => c.clientId !== 'legacy' },
  rotateRefreshToken: true,
  scopes: ['openid', 'email', 'offline_access'],
  acrValues: ['urn:any'],
  cookies: { keys: ['a-key-of-the-tests'] },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, email: id, email_verified: true, name: 'Name' }) }),
  ttl: { AccessToken: 3600, AuthorizationCode: 60, IdToken: 3600, RefreshToken: 86400, Interaction: 3600, Session: 86400, Grant: 86400 },
})
provider.listen(PORT, 'localhost', () => console.log(issuer))
