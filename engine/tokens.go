package engine

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"encoding/base64"
	"hash"
	"strings"
	"sync"
	"time"

	"github.com/ringmq/ringmq/kraft"
)

// Authentication by a delegation token: SCRAM with the token's id as the name and its HMAC as the password, and the extension tokenauth=true. The client is then
// the token's owner, for as long as the token is good.

// tokenCredentials are what SCRAM checks of tokens, by id. They are made of the secret key, which takes some milliseconds for each: on a worker when a
// token appears, and else when it is used for the first time.
type tokenCredentials struct{ byID sync.Map } // string → *tokenCredential

type tokenCredential [2]struct { // by kraft.ScramMechanism - 1
	once sync.Once
	kraft.ScramCredential
}

// tokenIterations are Kafka's for tokens: their passwords cannot be guessed.
const tokenIterations = 4096

// of returns the credential of a token that there is.
func (c *tokenCredentials) of(secret []byte, id string, m kraft.ScramMechanism, h func() hash.Hash) kraft.ScramCredential {
	v, ok := c.byID.Load(id)
	if !ok {
		v, _ = c.byID.LoadOrStore(id, &tokenCredential{})
	}
	one := &v.(*tokenCredential)[m-1]
	one.once.Do(func() {
		salt := make([]byte, 20)
		_, _ = rand.Read(salt) // never fails
		password := base64.StdEncoding.EncodeToString(kraft.TokenHMAC(secret, id))
		salted, err := pbkdf2.Key(h, password, salt, tokenIterations, h().Size())
		if err != nil {
			panic("BUG: engine: " + err.Error()) // only for a key that is longer than any
		}
		one.ScramCredential = m.Credential(salt, salted, tokenIterations)
	})
	return one.ScramCredential
}

// followTokens forgets the credentials of tokens that are gone, and makes those of new ones.
func (b *Broker) followTokens(next *kraft.Image, delta *kraft.Delta) {
	if len(b.cfg.Tokens.Secret) == 0 {
		return
	}
	if delta.Full {
		b.tokens.byID.Range(func(id, _ any) bool {
			if _, ok := kraft.TokenOf(next, id.(string)); !ok {
				b.tokens.byID.Delete(id)
			}
			return true
		})
		return
	}
	var fresh []string
	for _, r := range delta.Configs {
		id, ok := kraft.IsToken(r)
		if !ok {
			continue
		}
		if _, there := kraft.TokenOf(next, id); !there {
			b.tokens.byID.Delete(id)
		} else if _, known := b.tokens.byID.Load(id); !known {
			fresh = append(fresh, id)
		}
	}
	if len(fresh) > 0 && len(b.cfg.SASLListeners()) > 0 {
		b.workers.Go(func() {
			for _, id := range fresh {
				for _, m := range kraft.ScramMechanisms {
					b.tokens.of(b.cfg.Tokens.Secret, id, m, m.Hash())
				}
			}
		})
	}
}

// useToken begins an exchange by a token. One that is not known, or whose time is over, ends like a wrong password.
func (s *scramExchange) useToken(id string) {
	b := s.broker
	s.byToken = true
	token, ok := kraft.TokenOf(b.node.Image(), id)
	if s.known = ok && len(b.cfg.Tokens.Secret) > 0 && !token.Expired(time.Now()); !s.known {
		s.credential = b.scramDecoy(id, s.hash)
		return
	}
	s.credential = b.tokens.of(b.cfg.Tokens.Secret, id, s.mechanism, s.hash)
	_, s.name, _ = strings.Cut(token.Owner, ":")
	s.until = time.UnixMilli(token.Expires)
}
