// A relying party with oauth4webapi, which throws at every deviation.
import { createServer } from 'node:http'
import * as oauth from 'oauth4webapi'

const { ISSUER, ID, SECRET, PORT } = process.env
const insecure = { [oauth.allowInsecureRequests]: true }
const redirect_uri = `http://localhost:${PORT}/callback`
const issuer = new URL(ISSUER)
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure))
const as8414 = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { ...insecure, algorithm: 'oauth2' }))
const client = { client_id: ID }
const auth = oauth.ClientSecretPost(SECRET)
const code_verifier = oauth.generateRandomCodeVerifier()
const state = oauth.generateRandomState()
const nonce = oauth.generateRandomNonce()

createServer(async (request, response) => {
  const url = new URL(request.url, `http://localhost:${PORT}`)
  try {
    if (url.pathname === '/login') {
      const to = new URL(as8414.authorization_endpoint)
      to.search = new URLSearchParams({
        client_id: ID, redirect_uri, response_type: 'code', scope: 'openid email offline_access', state, nonce,
        code_challenge: await oauth.calculatePKCECodeChallenge(code_verifier), code_challenge_method: 'S256',
      })
      return response.writeHead(302, { Location: to.href }).end()
    }
    const params = oauth.validateAuthResponse(as, client, url, state)
    const tokens = await oauth.processAuthorizationCodeResponse(as, client,
      await oauth.authorizationCodeGrantRequest(as, client, auth, params, redirect_uri, code_verifier, insecure), { expectedNonce: nonce, requireIdToken: true })
    const id = oauth.getValidatedIdTokenClaims(tokens)
    const info = await oauth.processUserInfoResponse(as, client, id.sub, await oauth.userInfoRequest(as, client, tokens.access_token, insecure))
    const next = await oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, insecure))
    const active = (await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, next.access_token, insecure))).active
    await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, next.refresh_token, insecure))
    response.end(JSON.stringify({ id, info, refreshed: next.access_token !== tokens.access_token && active }))
  } catch (e) {
    response.writeHead(500).end(`${e.stack}\n${JSON.stringify(e.cause ?? null)}`)
  }
}).listen(PORT, 'localhost', () => console.log(redirect_uri))
