package engine

import (
	"errors"
	"strings"
	"time"

	"github.com/ringmq/ringmq/engine/oauth"
)

// bearers makes what checks tokens, for each listener with OAUTHBEARER, and begins to read the issuers' keys.
func (b *Broker) bearers() map[string]*oauth.Verifier {
	all := map[string]*oauth.Verifier{}
	for _, l := range b.cfg.Listeners {
		s := b.cfg.SASLOf(l.Name)
		if s == nil || s.OAuth == nil {
			continue
		}
		o := s.OAuth
		keys := oauth.NewKeys(oauth.KeysOptions{URL: o.JWKS, Refresh: o.Refresh, Backoff: o.Backoff, MaxBackoff: o.MaxBackoff, Logger: b.log})
		b.background.Go(func() { keys.Run(b.ctx) })
		all[l.Name] = &oauth.Verifier{Keys: keys, Issuer: o.Issuer, Audience: o.Audience, Subject: o.Subject, Skew: o.Skew}
	}
	return all
}

// oauthExchange is the server's side of OAUTHBEARER (RFC 7628). A token that is not good is answered with a reason, as JSON; the client says that it has
// understood, and only then fails.
type oauthExchange struct {
	verifier *oauth.Verifier
	name     string
	until    time.Time
	refused  error
}

func (o *oauthExchange) user() string { return o.name }

// good is until when the client is known: for as long as its token is good.
func (o *oauthExchange) good() (until time.Time, limited bool) { return o.until, true }

// refusal is why the token is not good. Many clients end the connection when they are told, so nothing else may come.
func (o *oauthExchange) refusal() error { return o.refused }

var errBearer = errors.New("not a message of OAUTHBEARER")

// invalidToken is what a client is told of a token that is not good.
const invalidToken = `{"status":"invalid_token"}`

func (o *oauthExchange) step(token []byte) ([]byte, bool, error) {
	if o.refused != nil {
		return nil, false, o.refused
	}
	// n,[a=<name>],^A[<key>=<value>^A...]^A, where one key is auth. What is between the commas may not be of another than the token's.
	parts := strings.SplitN(string(token), ",", 3)
	if len(parts) != 3 || !strings.HasPrefix(parts[2], "\x01") || !strings.HasSuffix(parts[2], "\x01\x01") {
		return nil, false, errBearer
	}
	authorization, isOther := strings.CutPrefix(parts[1], "a=")
	authorization, plain := scramName(authorization)
	switch {
	case parts[0] != "n": // y and p: channel binding
		return nil, false, errors.New("channel binding is not supported")
	case !plain || parts[1] != "" && !isOther:
		return nil, false, errBearer
	}
	var bearer string
	for pair := range strings.SplitSeq(strings.Trim(parts[2], "\x01"), "\x01") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, false, errBearer
		}
		if key == "auth" {
			scheme, rest, _ := strings.Cut(value, " ")
			if !strings.EqualFold(scheme, "bearer") || bearer != "" {
				return nil, false, errBearer
			}
			bearer = strings.TrimSpace(rest)
		}
	}
	if bearer == "" {
		return nil, false, errBearer
	}
	name, until, err := o.verifier.Check(bearer, time.Now())
	if err == nil && isOther && authorization != name {
		err = errors.New("the authorization id differs from the user")
	}
	if err != nil {
		o.refused = err
		return []byte(invalidToken), false, nil
	}
	o.name, o.until = name, until
	return []byte{}, true, nil
}
