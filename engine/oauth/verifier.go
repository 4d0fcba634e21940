package oauth

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// algorithms are those by which a token may be signed: with a private key.
var algorithms = []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}

// Verifier checks tokens. Immutable; any goroutine may use it.
type Verifier struct {
	// Keys are the issuer's. Required.
	Keys *Keys
	// Issuer is what the claim iss must be; empty: anything.
	Issuer string
	// Audience is what the claim aud must have at least one of; empty: anything.
	Audience []string
	// Subject is the claim that says who the token is of. Required.
	Subject string
	// Skew is how far the clocks of issuer and broker may be apart.
	Skew time.Duration
}

// Check says who a token is of and until when it is good. The error says what is wrong with it, and repeats nothing that is secret.
func (v *Verifier) Check(token string, now time.Time) (subject string, until time.Time, err error) {
	t, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return "", time.Time{}, errors.New("not a JSON web token that is signed with a private key")
	}
	key, err := v.Keys.key(t.Headers[0].KeyID)
	if err != nil {
		return "", time.Time{}, err
	}
	if key.Algorithm != "" && key.Algorithm != t.Headers[0].Algorithm {
		return "", time.Time{}, fmt.Errorf("signed by %s, the issuer's key is for %s", t.Headers[0].Algorithm, key.Algorithm)
	}
	var claims jwt.Claims
	var all map[string]any
	switch err := t.Claims(key, &all, &claims); {
	case errors.Is(err, jose.ErrCryptoFailure):
		return "", time.Time{}, errors.New("the signature is wrong")
	case err != nil:
		return "", time.Time{}, errors.New("a claim is not of its type")
	}
	switch {
	case claims.Expiry == nil:
		return "", time.Time{}, errors.New("has no claim exp")
	case now.After(claims.Expiry.Time().Add(v.Skew)):
		return "", time.Time{}, fmt.Errorf("expired at %s", claims.Expiry.Time().UTC().Format(time.RFC3339))
	case claims.NotBefore != nil && now.Add(v.Skew).Before(claims.NotBefore.Time()):
		return "", time.Time{}, fmt.Errorf("good from %s on only", claims.NotBefore.Time().UTC().Format(time.RFC3339))
	case claims.IssuedAt != nil && now.Add(v.Skew).Before(claims.IssuedAt.Time()):
		return "", time.Time{}, fmt.Errorf("issued in the future, at %s: is a clock wrong?", claims.IssuedAt.Time().UTC().Format(time.RFC3339))
	case v.Issuer != "" && claims.Issuer != v.Issuer:
		return "", time.Time{}, fmt.Errorf("issued by %.100q, expected is %q", claims.Issuer, v.Issuer)
	case len(v.Audience) > 0 && !slices.ContainsFunc(v.Audience, claims.Audience.Contains):
		return "", time.Time{}, fmt.Errorf("meant for %.100q, expected is one of %q", claims.Audience, v.Audience)
	}
	subject, _ = all[v.Subject].(string)
	if subject == "" {
		return "", time.Time{}, fmt.Errorf("the claim %s is missing or is no text", v.Subject)
	}
	return subject, claims.Expiry.Time(), nil
}
