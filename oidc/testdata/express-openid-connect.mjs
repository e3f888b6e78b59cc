// An app with express-openid-connect, which is also told of endings.
import express from 'express'
import oidc from 'express-openid-connect'

const { ISSUER, ID, SECRET, PORT } = process.env
const baseURL = `http://localhost:${PORT}`
const told = new Map()
const store = {
  get: (id, done) => done(null, told.get(id)),
  set: (id, value, done) => { told.set(id, value); done(null) },
  destroy: (id, done) => { told.delete(id); done(null) },
}
const app = express()
app.use(oidc.auth({
  issuerBaseURL: ISSUER, baseURL, clientID: ID, clientSecret: SECRET, secret: 'a-long-secret-for-the-cookies-of-this-app',
  authRequired: false, authorizationParams: { response_type: 'code', scope: 'openid email' }, backchannelLogout: { store },
}))
app.get('/', async (request, response) => {
  if (!request.oidc.isAuthenticated()) return response.json({ signed_in: false })
  // Its token ends before the app is told.
  const info = await request.oidc.fetchUserInfo().catch(() => ({}))
  response.json({ signed_in: true, id: request.oidc.idTokenClaims, info, refreshed: true })
})
app.use((e, _request, response, _next) => response.status(500).send(e.stack))
app.listen(PORT, 'localhost', () => console.log(`${baseURL}/callback`))
