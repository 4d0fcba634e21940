package kraft

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/record"
)

// Kafka's bounds of the iterations.
const (
	scramMinIterations = 4096
	scramMaxIterations = 16384
)

// Hash is the mechanism's hash; nil for a number that is no mechanism.
func (m ScramMechanism) Hash() func() hash.Hash {
	switch m {
	case ScramSHA256:
		return sha256.New
	case ScramSHA512:
		return sha512.New
	}
	return nil
}

// alterScram is all or nothing for each user.
func (t *tx) alterScram(r *kmsg.AlterUserSCRAMCredentialsRequest) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.AlterUserSCRAMCredentialsResponse)
	resp.Results = []kmsg.AlterUserSCRAMCredentialsResponseResult{}
	failed := make(map[string]kafkaError)
	var users []string
	seen := make(map[string]map[ScramMechanism]bool)
	note := func(user string, m ScramMechanism, e kafkaError) {
		if seen[user] == nil {
			seen[user] = make(map[ScramMechanism]bool)
			users = append(users, user)
		}
		if e.code == 0 && seen[user][m] {
			e = kafkaError{kafkaDuplicateResource, "A user credential cannot be altered twice in the same request."}
		}
		seen[user][m] = true
		if _, already := failed[user]; !already && e.code != 0 {
			failed[user] = e
		}
	}
	for _, d := range r.Deletions {
		m := ScramMechanism(d.Mechanism)
		e := checkScram(d.Name, m)
		if e.code == 0 {
			if _, ok := t.img().Config(scramResource(d.Name), m.String()); !ok {
				e = kafkaError{kafkaResourceNotFound, "Attempt to delete a user credential that does not exist."}
			}
		}
		note(d.Name, m, e)
	}
	for _, u := range r.Upsertions {
		m := ScramMechanism(u.Mechanism)
		e := checkScram(u.Name, m)
		switch {
		case e.code != 0:
		case u.Iterations < scramMinIterations:
			e = kafkaError{kafkaUnacceptable, fmt.Sprintf("Too few iterations: %d, the least is %d.", u.Iterations, scramMinIterations)}
		case u.Iterations > scramMaxIterations:
			e = kafkaError{kafkaUnacceptable, fmt.Sprintf("Too many iterations: %d, the most is %d.", u.Iterations, scramMaxIterations)}
		case len(u.Salt) == 0 || len(u.SaltedPassword) == 0:
			e = kafkaError{kafkaUnacceptable, "Salt and salted password must not be empty."}
		}
		note(u.Name, m, e)
	}
	for _, d := range r.Deletions {
		if _, bad := failed[d.Name]; !bad {
			t.add(&record.ConfigRemoved{Resource: scramResource(d.Name), Key: ScramMechanism(d.Mechanism).String()})
		}
	}
	for _, u := range r.Upsertions {
		if _, bad := failed[u.Name]; bad {
			continue
		}
		m := ScramMechanism(u.Mechanism)
		t.add(&record.ConfigSet{Resource: scramResource(u.Name), Key: m.String(), Value: m.Credential(u.Salt, u.SaltedPassword, u.Iterations).value()})
	}
	for _, user := range users {
		e := failed[user]
		resp.Results = append(resp.Results, kmsg.AlterUserSCRAMCredentialsResponseResult{User: user, ErrorCode: e.code, ErrorMessage: e.message()})
	}
	return resp
}

func checkScram(user string, m ScramMechanism) kafkaError {
	switch {
	case user == "":
		return kafkaError{kafkaUnacceptable, "Username must not be empty."}
	case m.Hash() == nil:
		return kafkaError{kafkaUnsupportedMechanism, "Unknown SCRAM mechanism."}
	}
	return kafkaError{}
}

// Credential is what a server keeps of a password that was salted and hashed in so many iterations.
func (m ScramMechanism) Credential(salt, salted []byte, iterations int32) ScramCredential {
	stored := m.Hash()()
	stored.Write(keyed(m, salted, "Client Key"))
	return ScramCredential{Salt: salt, StoredKey: stored.Sum(nil), ServerKey: keyed(m, salted, "Server Key"), Iterations: iterations}
}

// keyed is HMAC(key, text) of RFC 5802.
func keyed(m ScramMechanism, key []byte, text string) []byte {
	h := hmac.New(m.Hash(), key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
