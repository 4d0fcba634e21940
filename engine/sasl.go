package engine

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"

	"github.com/ringmq/ringmq/engine/config"
	"github.com/ringmq/ringmq/kraft"
)

// The server's side of the SASL mechanisms: PLAIN (RFC 4616) and SCRAM (RFC 5802), as Kafka speaks them; sasl_oauth.go has OAUTHBEARER. No error and no answer of theirs tells whether a
// user exists, and none holds a secret.

// errCredentials is that of a wrong password and of an unknown user alike.
var errCredentials = errors.New("invalid credentials")

// mechanism is one authentication by one mechanism. step takes a token and gives the answer to it; done says that user is who the client says.
type mechanism interface {
	step(token []byte) (answer []byte, done bool, err error)
	user() string
}

// newExchange begins an authentication. The mechanism is one of those of c.
func (b *Broker) newExchange(c *config.SASL, mechanism string) mechanism {
	switch mechanism {
	case config.MechanismPlain:
		return &plainExchange{users: c.Users}
	case config.MechanismScram256:
		return &scramExchange{broker: b, mechanism: kraft.ScramSHA256, hash: sha256.New}
	case config.MechanismOAuth:
		return &oauthExchange{verifier: b.bearer[c.Listener]}
	case config.MechanismScram512:
		return &scramExchange{broker: b, mechanism: kraft.ScramSHA512, hash: sha512.New}
	}
	panic("BUG: engine: SASL mechanism " + mechanism)
}

type plainExchange struct {
	users map[string]string
	name  string
}

func (p *plainExchange) user() string { return p.name }

func (p *plainExchange) step(token []byte) ([]byte, bool, error) {
	parts := strings.Split(string(token), "\x00")
	if len(parts) != 3 || parts[1] == "" || parts[2] == "" {
		return nil, false, errors.New("not a token of PLAIN")
	}
	want, known := p.users[parts[1]]
	// Both are hashed, so that the comparison takes the same time whatever their lengths, and for a user that is not known.
	have, expected := sha256.Sum256([]byte(parts[2])), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(have[:], expected[:]) != 1 || !known {
		return nil, false, errCredentials
	}
	if parts[0] != "" && parts[0] != parts[1] {
		return nil, false, errors.New("the authorization id differs from the user")
	}
	p.name = parts[1]
	return []byte{}, true, nil
}

type scramExchange struct {
	broker    *Broker
	mechanism kraft.ScramMechanism
	hash      func() hash.Hash

	name       string
	credential kraft.ScramCredential
	known      bool
	byToken    bool      // name is then the owner of a delegation token
	until      time.Time // when that expires
	header     string    // of GS2, as the client sent it
	half       string    // the client's half of the nonce
	nonce      string    // both halves
	first      string    // client-first-message-bare and server-first-message
	finished   bool
}

func (s *scramExchange) user() string { return s.name }

// good is until when the client is known: without end, or for as long as its token is good.
func (s *scramExchange) good() (until time.Time, limited bool) { return s.until, s.byToken }

func (s *scramExchange) step(token []byte) ([]byte, bool, error) {
	if s.nonce == "" {
		return s.begin(string(token))
	}
	return s.finish(string(token))
}

var errScram = errors.New("not a message of SCRAM")

// scramNonceMax bounds the client's half of the nonce.
const scramNonceMax = 512

// begin answers the client's first message: n,[a=<name>],n=<name>,r=<nonce>[,<extension>...].
func (s *scramExchange) begin(m string) ([]byte, bool, error) {
	parts := strings.SplitN(m, ",", 4)
	if len(parts) < 4 {
		return nil, false, errScram
	}
	name, named := strings.CutPrefix(parts[2], "n=")
	nonce, extensions, _ := strings.Cut(parts[3], ",")
	nonce, hasNonce := strings.CutPrefix(nonce, "r=")
	name, ok := scramName(name)
	authorization, isOther := strings.CutPrefix(parts[1], "a=")
	authorization, plain := scramName(authorization)
	switch {
	case parts[0] != "n": // y and p: channel binding
		return nil, false, errors.New("channel binding is not supported")
	case !named || !hasNonce || !ok || !plain || name == "" || nonce == "" || len(nonce) > scramNonceMax || parts[1] != "" && !isOther:
		return nil, false, errScram
	case isOther && authorization != name:
		return nil, false, errors.New("the authorization id differs from the user")
	}
	s.name, s.header = name, parts[0]+","+parts[1]+","
	if slices.Contains(strings.Split(extensions, ","), "tokenauth=true") {
		s.useToken(name)
	} else if s.credential, s.known = kraft.Scram(s.broker.node.Image(), name, s.mechanism); !s.known {
		s.credential = s.broker.scramDecoy(name, s.hash)
	}
	s.half, s.nonce = nonce, nonce+rand.Text()
	answer := fmt.Sprintf("r=%s,s=%s,i=%d", s.nonce, base64.StdEncoding.EncodeToString(s.credential.Salt), s.credential.Iterations)
	s.first = m[len(s.header):] + "," + answer
	return []byte(answer), false, nil
}

// finish checks the client's final message: c=<header>,r=<nonce>[,<extension>...],p=<proof>.
func (s *scramExchange) finish(m string) ([]byte, bool, error) {
	i := strings.LastIndex(m, ",p=")
	if i < 0 || s.finished {
		return nil, false, errScram
	}
	s.finished = true
	proof, err := base64.StdEncoding.DecodeString(m[i+3:])
	parts := strings.Split(m[:i], ",")
	if err != nil || len(parts) < 2 || parts[0] != "c="+base64.StdEncoding.EncodeToString([]byte(s.header)) {
		return nil, false, errScram
	}
	// Older librdkafka puts its half in front of the nonce once more. Ours is in it all the same, so the proof is of this exchange.
	if parts[1] != "r="+s.nonce && parts[1] != "r="+s.half+s.nonce {
		return nil, false, errScram
	}
	message := s.first + "," + m[:i]
	signature := s.keyed(s.credential.StoredKey, message)
	if len(proof) != len(signature) {
		return nil, false, errScram
	}
	for j := range proof {
		proof[j] ^= signature[j]
	}
	h := s.hash()
	h.Write(proof)
	if subtle.ConstantTimeCompare(h.Sum(nil), s.credential.StoredKey) != 1 || !s.known {
		return nil, false, errCredentials
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(s.keyed(s.credential.ServerKey, message))), true, nil
}

func (s *scramExchange) keyed(key []byte, text string) []byte {
	h := hmac.New(s.hash, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// scramDecoy is the credential of a user that is not known: the same at every attempt, as a real one's, and of no password.
func (b *Broker) scramDecoy(user string, of func() hash.Hash) kraft.ScramCredential {
	h := hmac.New(of, b.decoyKey[:])
	h.Write([]byte(user))
	sum := h.Sum(nil)
	return kraft.ScramCredential{Salt: sum[:20], StoredKey: sum, ServerKey: sum, Iterations: scramDecoyIterations}
}

// scramDecoyIterations is what kafka-configs.sh gives to a user unless told otherwise.
const scramDecoyIterations = 4096

// scramName undoes the escapes of a name.
func scramName(s string) (string, bool) {
	out := strings.ReplaceAll(strings.ReplaceAll(s, "=2C", ","), "=3D", "\x00")
	if strings.ContainsRune(out, '=') || strings.ContainsRune(s, 0) {
		return "", false
	}
	return strings.ReplaceAll(out, "\x00", "="), true
}
