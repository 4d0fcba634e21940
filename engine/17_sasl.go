package engine

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/netpoll"
)

// SaslHandshake (key 17) 0 to 1, SaslAuthenticate (key 36) 0 to 2, and what a connection to a listener with SASL may do before and between.
//
//	opened ──SaslHandshake v1──► SaslAuthenticate... ──► known ──SaslHandshake──► SaslAuthenticate... ──► known ...
//	   └─────SaslHandshake v0──► raw tokens... ────────► known           (again: connections.max.reauth.ms)
//
// Before, ApiVersions is served besides; anything else ends the connection. A client that failed is answered after a while, and its connection is ended.
// All of this runs on the connection's goroutine: no mechanism here takes long.

// authentication is where a connection to a listener with SASL stands. Owned by the connection's goroutine.
type authentication struct {
	config    *config.SASL
	mechanism string
	exchange  mechanism // nil: none is under way
	raw       bool      // its tokens come without requests
	known     bool      // the client has said who it is
	byToken   bool      // by a delegation token
	failed    bool
	expires   time.Time // when it has to say so again; zero: never
}

// handshakes says whether a frame's request is one that gets by without being known.
func handshakes(key int16) bool {
	return key == kproto.KeySaslHandshake || key == kproto.KeySaslAuthenticate
}

// refuses says why a request may not be served now; "" when it may.
func (a *authentication) refuses(key int16) string {
	switch {
	case a.failed:
		return "the client could not say who it is"
	case a.known && a.exchange != nil && key != kproto.KeySaslAuthenticate:
		return "in the middle of a re-authentication"
	case a.known && !a.expires.IsZero() && !handshakes(key) && time.Now().After(a.expires):
		return "the time for which the client was known is over (connections.max.reauth.ms)"
	case a.known:
		return ""
	case a.exchange == nil && key != kproto.KeyApiVersions && key != kproto.KeySaslHandshake, a.exchange != nil && key != kproto.KeySaslAuthenticate:
		return "the client has not said who it is: this listener demands SASL"
	}
	return ""
}

func saslHandshake(r *request) {
	req, a := r.body.(*kmsg.SASLHandshakeRequest), r.conn.auth
	resp := kmsg.NewPtrSASLHandshakeResponse()
	resp.SupportedMechanisms = []string{}
	if a == nil || a.known && (a.expires.IsZero() || req.Version == 0) || a.exchange != nil {
		resp.ErrorCode = int16(kproto.IllegalSaslState)
		r.reply(resp)
		return
	}
	resp.SupportedMechanisms = a.config.Mechanisms
	switch {
	case !slices.Contains(a.config.Mechanisms, req.Mechanism):
		resp.ErrorCode = int16(kproto.UnsupportedSaslMechanism)
	case a.known && req.Mechanism != a.mechanism:
		resp.ErrorCode = int16(kproto.IllegalSaslState)
	default:
		a.mechanism, a.raw = req.Mechanism, req.Version == 0
		a.exchange = r.broker.newExchange(a.config, req.Mechanism)
		r.reply(resp)
		return
	}
	a.failed = true
	r.reply(resp)
}

func saslAuthenticate(r *request) {
	req, st := r.body.(*kmsg.SASLAuthenticateRequest), r.conn
	resp := kmsg.NewPtrSASLAuthenticateResponse()
	if st.auth == nil || st.auth.exchange == nil {
		message := "SaslAuthenticate request received after successful authentication"
		resp.ErrorCode, resp.ErrorMessage = int16(kproto.IllegalSaslState), &message
		r.reply(resp)
		return
	}
	answer, lifetime, err := r.broker.takeToken(st, req.SASLAuthBytes)
	if err != nil {
		message := err.Error()
		resp.ErrorCode, resp.ErrorMessage = int16(kproto.SaslAuthenticationFailed), &message
		time.AfterFunc(st.auth.config.FailureDelay, func() { r.reply(resp) })
		return
	}
	resp.SASLAuthBytes, resp.SessionLifetimeMillis = answer, lifetime.Milliseconds()
	r.reply(resp)
}

// rawToken serves a frame that is a token and no request, after a SaslHandshake of version 0. A failure has no answer: the connection ends.
func (b *Broker) rawToken(st *connState, frame []byte) netpoll.Verdict {
	if st.busy.Load() > 0 {
		st.waiting.Store(true)
		if st.busy.Load() > 0 {
			return netpoll.Hold
		}
		st.waiting.Store(false)
	}
	resp := st.conn.Begin()
	st.begin()
	answer, _, err := b.takeToken(st, frame)
	if err != nil {
		time.AfterFunc(st.auth.config.FailureDelay, func() {
			resp.Drop()
			st.end()
		})
		return netpoll.Close
	}
	resp.Append(answer)
	resp.Send()
	st.end()
	return netpoll.Next
}

// authenticationError says, in Kafka's words, that a client is not who it says, and not why.
type authenticationError string

func (mechanism authenticationError) Error() string {
	return "Authentication failed during authentication due to invalid credentials with SASL mechanism " + string(mechanism)
}

// takeToken goes on with the authentication under way: the answer to the token, and for how long the client is known once it is (0: for good). The error is what
// the client is told.
func (b *Broker) takeToken(st *connState, token []byte) (answer []byte, lifetime time.Duration, err error) {
	a := st.auth
	answer, done, err := a.exchange.step(token)
	if err == nil && done && a.known && st.principal != userType+a.exchange.user() {
		err = errors.New("the principal differs from the one before")
	}
	refused, _ := a.exchange.(interface{ refusal() error })
	switch {
	case err != nil:
		a.failed, a.exchange = true, nil
		if refused == nil || refused.refusal() == nil {
			b.noteFailed(st, err)
		}
		return nil, 0, authenticationError(a.mechanism)
	case refused != nil && refused.refusal() != nil:
		b.noteFailed(st, refused.refusal())
	}
	if !done {
		return answer, 0, nil
	}
	lifetime = min(a.config.MaxReauth, math.MaxInt64/2)
	if t, ok := a.exchange.(interface{ good() (time.Time, bool) }); ok {
		if until, limited := t.good(); limited {
			lifetime = max(time.Millisecond, min(cmp.Or(lifetime, math.MaxInt64), time.Until(until)))
		}
	}
	st.principal = userType + a.exchange.user()
	scram, _ := a.exchange.(*scramExchange)
	a.byToken = scram != nil && scram.byToken
	a.known, a.exchange, a.raw = true, nil, false
	st.conn.LimitFrames(0)
	if lifetime > 0 {
		a.expires = time.Now().Add(lifetime)
	}
	return answer, lifetime, nil
}

// noteFailed counts and logs that a client is not who it says.
func (b *Broker) noteFailed(st *connState, cause error) {
	b.metrics.rejected.Add(1)
	if b.rejects.allow() {
		b.log.Warn("authentication failed, closing the connection", "remote", st.conn.RemoteAddr(), "listener", st.listener, "mechanism", st.auth.mechanism, "cause", cause)
	}
}
