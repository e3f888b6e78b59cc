// A relying party with openid-client: a whole life of tokens.
import { createServer } from 'node:http'
import * as client from 'openid-client'

const { ISSUER, ID, SECRET, PORT, AFTER } = process.env
const redirect_uri = `http://localhost:${PORT}/callback`
const config = await client.discovery(new URL(ISSUER), ID, SECRET, client.ClientSecretBasic(SECRET), {
  execute: [client.allowInsecureRequests],
})
const code_verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const nonce = client.randomNonce()

createServer(async (request, response) => {
  const url = new URL(request.url, `http://localhost:${PORT}`)
  try {
    if (url.pathname === '/login') {
      const to = client.buildAuthorizationUrl(config, {
        redirect_uri, scope: 'openid email offline_access', state, nonce,
        code_challenge: await client.calculatePKCECodeChallenge(code_verifier), code_challenge_method: 'S256',
      })
      return response.writeHead(302, { Location: to.href }).end()
    }
    const tokens = await client.authorizationCodeGrant(config, url, { pkceCodeVerifier: code_verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true, maxAge: 3600 })
    const id = tokens.claims()
    const info = await client.fetchUserInfo(config, tokens.access_token, id.sub)
    const next = await client.refreshTokenGrant(config, tokens.refresh_token)
    const active = (await client.tokenIntrospection(config, next.access_token)).active
    await client.tokenRevocation(config, next.refresh_token)
    const after = (await client.tokenIntrospection(config, next.access_token)).active
    const logout = client.buildEndSessionUrl(config, { id_token_hint: tokens.id_token, post_logout_redirect_uri: AFTER }).href
    response.end(JSON.stringify({ id, info, refreshed: next.access_token !== tokens.access_token && active && !after, logout }))
  } catch (e) {
    response.writeHead(500).end(`${e.stack}\n${JSON.stringify(e.cause ?? null)}`)
  }
}).listen(PORT, 'localhost', () => console.log(redirect_uri))
