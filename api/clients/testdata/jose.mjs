// Verifies a session's JWT with the keys that the API publishes.
import { createRemoteJWKSet, jwtVerify } from "jose";

const [api, key, jwt] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(`${api}/v1/auth/jwks/default?api_key=${key}`));
const { payload, protectedHeader } = await jwtVerify(jwt, keys, { algorithms: ["RS256"], requiredClaims: ["iss", "jti", "iat", "nbf", "exp", "session"] });
let forged = "accepted";
try {
  const [head, , signature] = jwt.split(".");
  const body = Buffer.from(JSON.stringify({ ...payload, jti: "sess_other" })).toString("base64url");
  await jwtVerify([head, body, signature].join("."), keys);
} catch (error) {
  forged = error.code;
}
console.log(JSON.stringify({ header: protectedHeader, session: payload["https://streambird.io/jwt/session"].id, same: payload.session.id, forged }));
