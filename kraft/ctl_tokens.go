package kraft

import (
	"math"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/record"
)

// userPrincipal is the only type of principal that may renew a token.
const userPrincipal = "User"

// tokensRefused is why no request about tokens of this asker is looked at; 0: they are.
func (t *tx) tokensRefused() int16 {
	switch {
	case t.asker.Principal == "":
		return kafkaTokenNotAllowed
	case len(t.c.opts.Tokens.Secret) == 0:
		return kafkaTokensDisabled
	}
	return 0
}

func (t *tx) createToken(r *kmsg.CreateDelegationTokenRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.CreateDelegationTokenResponse)
	token := Token{Owner: t.asker.Principal, Requester: t.asker.Principal}
	if r.OwnerPrincipalName != nil && *r.OwnerPrincipalName != "" {
		if r.OwnerPrincipalType == nil {
			resp.ErrorCode = kafkaInvalidPrincipalType
			return resp
		}
		token.Owner = *r.OwnerPrincipalType + ":" + *r.OwnerPrincipalName
	}
	resp.PrincipalType, resp.PrincipalName, _ = strings.Cut(token.Owner, ":")
	resp.TokenRequesterPrincipalType, resp.TokenRequesterPrincipalName, _ = strings.Cut(token.Requester, ":")
	if resp.ErrorCode = t.tokensRefused(); resp.ErrorCode != 0 {
		return resp
	}
	for _, p := range r.Renewers {
		if p.PrincipalType != userPrincipal {
			resp.ErrorCode = kafkaInvalidPrincipalType
			return resp
		}
		token.Renewers = append(token.Renewers, p.PrincipalType+":"+p.PrincipalName)
	}
	o := &t.c.opts.Tokens
	token.Issued = t.now.UnixMilli()
	token.Max = token.Issued + shorter(r.MaxLifetimeMillis, o.MaxLifetime)
	token.Expires = min(token.Max, token.Issued+o.ExpiryTime.Milliseconds())
	token.ID = newTokenID()
	t.setToken(token)
	resp.IssueTimestamp, resp.MaxTimestamp, resp.ExpiryTimestamp = token.Issued, token.Max, token.Expires
	resp.TokenID, resp.HMAC = token.ID, TokenHMAC(o.Secret, token.ID)
	return resp
}

// newTokenID draws an id that no command line takes for an option.
func newTokenID() string {
	for {
		if text := uuidText(randomID()); text[0] != '-' {
			return text
		}
	}
}

func (t *tx) renewToken(r *kmsg.RenewDelegationTokenRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.RenewDelegationTokenResponse)
	token, code := t.heldToken(r.HMAC)
	switch {
	case code != 0:
	case token.Expired(t.now):
		code = kafkaTokenExpired
	case !token.For(t.asker.Principal):
		code = kafkaTokenOwnerMismatch
	default:
		token.Expires = min(token.Max, t.now.UnixMilli()+shorter(r.RenewTimeMillis, t.c.opts.Tokens.ExpiryTime))
		t.setToken(token)
		resp.ExpiryTimestamp = token.Expires
	}
	resp.ErrorCode = code
	return resp
}

func (t *tx) expireToken(r *kmsg.ExpireDelegationTokenRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.ExpireDelegationTokenResponse)
	token, code := t.heldToken(r.HMAC)
	now := t.now.UnixMilli()
	switch {
	case code != 0:
	case !token.For(t.asker.Principal):
		code = kafkaTokenOwnerMismatch
	case r.ExpiryPeriodMillis < 0: // at once, even if its time is over
		t.forgetToken(token.ID)
		resp.ExpiryTimestamp = now
	case token.Expired(t.now):
		code = kafkaTokenExpired
	default:
		token.Expires = min(token.Max, now+min(r.ExpiryPeriodMillis, math.MaxInt64-now))
		t.setToken(token)
		resp.ExpiryTimestamp = token.Expires
	}
	resp.ErrorCode = code
	return resp
}

// shorter is a time in milliseconds that was asked for, as far as the limit goes; one that is not positive asks for the limit.
func shorter(asked int64, limit time.Duration) int64 {
	if asked > 0 {
		return min(asked, limit.Milliseconds())
	}
	return limit.Milliseconds()
}

func (t *tx) setToken(token Token) {
	t.add(&record.ConfigSet{Resource: tokenResource(token.ID), Key: tokenKey, Value: token.value()})
}

func (t *tx) forgetToken(id string) {
	t.add(&record.ConfigRemoved{Resource: tokenResource(id), Key: tokenKey})
	t.c.mu.tokens.forget(id)
}

// heldToken is the token that a request names by its password.
func (t *tx) heldToken(hmac []byte) (Token, int16) {
	if code := t.tokensRefused(); code != 0 {
		return Token{}, code
	}
	token, ok := t.c.mu.tokens.find(t.img(), t.c.opts.Tokens.Secret, hmac)
	if !ok {
		return Token{}, kafkaTokenNotFound
	}
	return token, 0
}

// maxTokenSweep bounds the records of one sweep; what is left comes with the next.
const maxTokenSweep = 1000

// sweepTokens forgets tokens whose time is over, every TokenOptions.CheckInterval. A controller without the secret does not: it does not know of tokens.
func (t *tx) sweepTokens() {
	o := &t.c.opts.Tokens
	if len(o.Secret) == 0 || t.now.Sub(t.c.mu.tokens.swept) < o.CheckInterval {
		return
	}
	var over []string
	EveryToken(t.img(), func(token Token) bool {
		if token.Expired(t.now) {
			over = append(over, token.ID)
		}
		return len(over) < maxTokenSweep
	})
	for _, id := range over {
		t.forgetToken(id)
		t.c.logger.Info("kraft: delegation token expired", "token", id)
	}
	if len(over) < maxTokenSweep {
		t.c.mu.tokens.swept = t.now
	}
}

// tokenIndex finds tokens by their passwords, which are not in the metadata: it makes those that it is asked for the first time. Of one term of a controller.
type tokenIndex struct {
	swept  time.Time         // when all tokens were looked at last
	ids    map[string]string // by HMAC
	hashes map[string]string // HMACs, by id
}

func (x *tokenIndex) find(img *Image, secret, hmac []byte) (Token, bool) {
	if x.ids == nil {
		x.ids, x.hashes = make(map[string]string), make(map[string]string)
	}
	if _, known := x.ids[string(hmac)]; !known {
		EveryToken(img, func(t Token) bool {
			if _, known := x.hashes[t.ID]; !known {
				h := string(TokenHMAC(secret, t.ID))
				x.ids[h], x.hashes[t.ID] = t.ID, h
			}
			return true
		})
	}
	id, known := x.ids[string(hmac)]
	if !known {
		return Token{}, false
	}
	return TokenOf(img, id)
}

func (x *tokenIndex) forget(id string) {
	delete(x.ids, x.hashes[id])
	delete(x.hashes, id)
}
