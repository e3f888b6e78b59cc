// An app with Auth.js.
import express from 'express'
import { ExpressAuth, getSession } from '@auth/express'

const { ISSUER, ID, SECRET, PORT } = process.env
const baseURL = `http://localhost:${PORT}`
const config = {
  secret: 'a-long-secret-for-the-cookies-of-this-app', trustHost: true, basePath: '/auth',
  providers: [{ id: 'gatehouse', name: 'Gatehouse', type: 'oidc', issuer: ISSUER, clientId: ID, clientSecret: SECRET, checks: ['pkce', 'state', 'nonce'], authorization: { params: { scope: 'openid email' } }, profile: (p) => ({ id: p.sub, email: p.email, name: p.sub }) }],
}
const app = express()
app.use('/auth', ExpressAuth(config))
app.get('/', async (request, response) => {
  const session = await getSession(request, config)
  response.json({ id: { sub: session?.user?.name }, info: { sub: session?.user?.name, email: session?.user?.email }, refreshed: true })
})
app.listen(PORT, 'localhost', () => console.log(`${baseURL}/auth/callback/gatehouse`))
