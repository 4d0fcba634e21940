package config

import (
	"net/url"
	"slices"
	"strconv"
	"time"
)

// OAuth is how a listener checks the tokens of the mechanism OAUTHBEARER: listener.name.<name>.sasl.oauthbearer.* where given, sasl.oauthbearer.* otherwise.
type OAuth struct {
	// JWKS is the URL of the issuer's public keys: https, http or file. sasl.oauthbearer.jwks.endpoint.url.
	JWKS string
	// Refresh, Backoff and MaxBackoff say how often they are looked at.
	Refresh, Backoff, MaxBackoff time.Duration
	// Issuer and Audience are what tokens must be by and for; empty: anything.
	Issuer   string
	Audience []string
	// Subject is the claim that names the user.
	Subject string
	// Skew is how far the clocks of issuer and broker may be apart.
	Skew time.Duration
}

// jwksSchemes are those that keys may be had by.
var jwksSchemes = []string{"https", "http", "file"}

// oauthOf settles OAUTHBEARER of a listener. find and fail are those of saslOf.
func (b *builder) oauthOf(find func(mechanism, key string) (string, bool), fail func(kind error, key, value, reason, allowed string) error) (*OAuth, error) {
	text := func(name string) (value, key string) {
		key, set := find(MechanismOAuth, "sasl.oauthbearer."+name)
		if !set {
			d, _ := BrokerDef(key)
			return d.Default, key
		}
		return b.values[key].value, key
	}
	const urls = "an https, http or file URL"
	o := &OAuth{}
	var key string
	if o.JWKS, key = text("jwks.endpoint.url"); o.JWKS == "" {
		return nil, fail(ErrMissing, key, "", "missing: OAUTHBEARER takes only tokens that are signed, and the issuer's public keys are there", urls)
	}
	if u, err := url.Parse(o.JWKS); err != nil || !slices.Contains(jwksSchemes, u.Scheme) {
		return nil, fail(ErrInvalid, key, clip(o.JWKS, 100), "no such URL", urls)
	}
	for _, d := range []struct {
		name  string
		unit  time.Duration
		into  *time.Duration
		least int64
	}{
		{"jwks.endpoint.refresh.ms", time.Millisecond, &o.Refresh, 1}, {"jwks.endpoint.retry.backoff.ms", time.Millisecond, &o.Backoff, 1},
		{"jwks.endpoint.retry.backoff.max.ms", time.Millisecond, &o.MaxBackoff, 1}, {"clock.skew.seconds", time.Second, &o.Skew, 0},
	} {
		value, key := text(d.name)
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n < d.least || n > int64((1<<62)/d.unit) {
			return nil, fail(ErrInvalid, key, clip(value, 50), "no number in the range", "at least "+strconv.FormatInt(d.least, 10))
		}
		*d.into = time.Duration(n) * d.unit
	}
	o.Issuer, _ = text("expected.issuer")
	audience, _ := text("expected.audience")
	o.Audience = splitList(audience)
	if o.Subject, key = text("sub.claim.name"); o.Subject == "" {
		return nil, fail(ErrInvalid, key, "", "empty", "the name of a claim")
	}
	return o, nil
}
