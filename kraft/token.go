package kraft

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/json"
	"slices"
	"time"

	"github.com/ringmq/ringmq/kraft/record"
)

// TokenOptions are those of delegation tokens (KIP-48). They must be the same on all nodes: what the controller gives out, brokers check.
type TokenOptions struct {
	// Secret makes a token's password out of its id: delegation.token.secret.key. Empty: there are no delegation tokens.
	Secret []byte
	// MaxLifetime is how long a token can be renewed, ExpiryTime how long it is good without that. Defaults 7 days and 24 hours.
	MaxLifetime, ExpiryTime time.Duration
	// CheckInterval is how often the controller forgets tokens whose time is over. Default 1 h.
	CheckInterval time.Duration
}

// Token is a delegation token. Principals are type:name, times milliseconds since 1970. Its password is not part of it, and not of the metadata.
type Token struct {
	ID        string   `json:"-"`
	Owner     string   `json:"owner"`
	Requester string   `json:"requester"`
	Renewers  []string `json:"renewers,omitempty"`
	Issued    int64    `json:"issued"`
	Max       int64    `json:"max"`     // it cannot be renewed beyond
	Expires   int64    `json:"expires"` // unless it is renewed
}

// tokenKey is the one key of a token's resource.
const tokenKey = "token"

func tokenResource(id string) ConfigResource {
	return ConfigResource{Type: record.TokenConfig, Name: id}
}

// TokenOf returns a token by its id. It may be expired: the controller forgets tokens only now and then.
func TokenOf(img *Image, id string) (Token, bool) {
	v, ok := img.Config(tokenResource(id), tokenKey)
	t := Token{ID: id}
	if !ok || json.Unmarshal([]byte(v), &t) != nil {
		return Token{}, false
	}
	return t, true
}

// EveryToken calls fn for every token until it returns false, by id.
func EveryToken(img *Image, fn func(Token) bool) {
	img.ConfigResourcesOf(record.TokenConfig, func(r ConfigResource) bool {
		t, ok := TokenOf(img, r.Name)
		return !ok || fn(t)
	})
}

// IsToken says that a resource of a Delta is a token, and which.
func IsToken(r ConfigResource) (id string, ok bool) { return r.Name, r.Type == record.TokenConfig }

func (t Token) value() string {
	b, err := json.Marshal(t)
	if err != nil {
		panic("BUG: kraft: a token that is no JSON: " + err.Error())
	}
	return string(b)
}

// Expired says whether the token's time is over.
func (t Token) Expired(now time.Time) bool {
	ms := now.UnixMilli()
	return t.Max < ms || t.Expires < ms
}

// For says whether a principal owns the token or may renew it.
func (t Token) For(principal string) bool {
	return t.Owner == principal || slices.Contains(t.Renewers, principal)
}

// TokenHMAC is what a token's holder has: the password of its id, and what it is renewed and expired by. It is as secret as the key.
func TokenHMAC(secret []byte, id string) []byte {
	h := hmac.New(sha512.New, secret)
	h.Write([]byte(id))
	return h.Sum(nil)
}
