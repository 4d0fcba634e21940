// Package oauth checks the bearer tokens of the SASL mechanism OAUTHBEARER (RFC 7628, KIP-255, KIP-768): signed JSON web tokens (RFC 7519), with the public
// keys that their issuer publishes (RFC 7517).
//
//	JWKS endpoint ──every refresh interval, and when a key is missing──► Keys ──► Verifier.Check(token) ──► who it is of, and until when
//
// Tokens without a signature, or with one by a shared secret, are refused whatever the configuration says: anybody could have written the first, and every
// broker that checks the second could.
package oauth
