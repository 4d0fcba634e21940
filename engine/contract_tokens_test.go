package engine_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/tools/waittest"
)

// saslContractEnv names a listener SASL_PLAINTEXT of a broker elsewhere, for the statements about delegation tokens: mechanisms PLAIN and SCRAM-SHA-256, with the
// users of saslNode and ben, the standard authorizer, super.users=User:admin and a delegation.token.secret.key.
const saslContractEnv = "RINGMQ_CONTRACT_SASL"

// saslTarget is a broker whose clients say who they are.
type saslTarget struct {
	t    *testing.T
	addr string
	logs *waittest.Log // nil for a broker elsewhere
}

func saslContract(t *testing.T) *saslTarget {
	t.Helper()
	if addr := os.Getenv(saslContractEnv); addr != "" {
		return &saslTarget{t: t, addr: addr}
	}
	n := startSASL(t, "delegation.token.secret.key=t0ken-s3cret", `sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_admin="`+
		adminPassword+`" user_ann="`+annPassword+`" user_ben="`+benPassword+`";`)
	return &saslTarget{t, n.open, n.logs}
}

// try authenticates a connection of its own.
func (x *saslTarget) try(m sasl.Mechanism) (*wire, *kmsg.SASLAuthenticateResponse) {
	x.t.Helper()
	c, err := net.Dial("tcp", x.addr)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	w := &wire{x.t, c}
	handshake := kmsg.NewPtrSASLHandshakeRequest()
	handshake.Version, handshake.Mechanism = 1, m.Name()
	if r := askOn[*kmsg.SASLHandshakeResponse](w, handshake); r.ErrorCode != 0 {
		x.t.Fatalf("handshake: %+v", r)
	}
	session, token, err := m.Authenticate(context.Background(), x.addr)
	if err != nil {
		x.t.Fatal(err)
	}
	for {
		req := kmsg.NewPtrSASLAuthenticateRequest()
		req.Version, req.SASLAuthBytes = 2, token
		resp := askOn[*kmsg.SASLAuthenticateResponse](w, req)
		if resp.ErrorCode != 0 {
			return w, resp
		}
		done := false
		if done, token, err = session.Challenge(resp.SASLAuthBytes); err != nil {
			x.t.Fatal(err)
		}
		if done {
			return w, resp
		}
	}
}

func (x *saslTarget) as(user, password string) *wire {
	x.t.Helper()
	w, resp := x.try(plain.Auth{User: user, Pass: password}.AsMechanism())
	if resp.ErrorCode != 0 {
		x.t.Fatalf("%s: %+v", user, resp)
	}
	return w
}

func byToken(id string, hmac []byte) sasl.Mechanism {
	return scram.Auth{User: id, Pass: base64.StdEncoding.EncodeToString(hmac), IsToken: true}.AsSha256Mechanism()
}

func createTokenRequest(version int16, owner string, renewers ...string) *kmsg.CreateDelegationTokenRequest {
	req := kmsg.NewPtrCreateDelegationTokenRequest()
	req.Version, req.MaxLifetimeMillis = version, -1
	if owner != "" {
		req.OwnerPrincipalType, req.OwnerPrincipalName = kmsg.StringPtr("User"), &owner
	}
	for _, r := range renewers {
		kind, name, _ := strings.Cut(r, ":")
		req.Renewers = append(req.Renewers, kmsg.CreateDelegationTokenRequestRenewer{PrincipalType: kind, PrincipalName: name})
	}
	return req
}

// makeToken makes a token and waits until the broker knows it.
func (x *saslTarget) makeToken(w *wire, req *kmsg.CreateDelegationTokenRequest) *kmsg.CreateDelegationTokenResponse {
	x.t.Helper()
	made := askOn[*kmsg.CreateDelegationTokenResponse](w, req)
	wantCode(x.t, "create", made.ErrorCode, kproto.None)
	waittest.Until(x.t, 30*time.Second, "the broker knows the token", func() bool {
		return slices.ContainsFunc(described(x, x.as("admin", adminPassword)), func(id string) bool { return id == made.TokenID })
	})
	return made
}

// described are the ids of the tokens that are shown; owners nil: of everybody.
func described(x *saslTarget, w *wire, owners ...string) []string {
	x.t.Helper()
	req := kmsg.NewPtrDescribeDelegationTokenRequest()
	req.Version = 3
	for _, o := range owners {
		req.Owners = append(req.Owners, kmsg.DescribeDelegationTokenRequestOwner{PrincipalType: "User", PrincipalName: o})
	}
	resp := askOn[*kmsg.DescribeDelegationTokenResponse](w, req)
	wantCode(x.t, "describe", resp.ErrorCode, kproto.None)
	var ids []string
	for _, d := range resp.TokenDetails {
		ids = append(ids, d.TokenID)
	}
	return ids
}

func renewCode(w *wire, version int16, hmac []byte, period int64) (code int16, expires int64) {
	req := kmsg.NewPtrRenewDelegationTokenRequest()
	req.Version, req.HMAC, req.RenewTimeMillis = version, hmac, period
	r := askOn[*kmsg.RenewDelegationTokenResponse](w, req)
	return r.ErrorCode, r.ExpiryTimestamp
}

func expireCode(w *wire, version int16, hmac []byte, period int64) (code int16, expires int64) {
	req := kmsg.NewPtrExpireDelegationTokenRequest()
	req.Version, req.HMAC, req.ExpiryPeriodMillis = version, hmac, period
	r := askOn[*kmsg.ExpireDelegationTokenResponse](w, req)
	return r.ErrorCode, r.ExpiryTimestamp
}

// TestTokenRules: who may make, see, renew and expire a token, in every version.
func TestTokenRules(t *testing.T) {
	x := saslContract(t)
	admin, ann, ben := x.as("admin", adminPassword), x.as("ann", annPassword), x.as("ben", benPassword)
	for version := int16(1); version <= 3; version++ {
		made := x.makeToken(ann, createTokenRequest(version, "", "User:ben"))
		requester := "ann"
		if version < 3 {
			requester = ""
		}
		if made.PrincipalType != "User" || made.PrincipalName != "ann" || made.TokenRequesterPrincipalName != requester || len(made.HMAC) != 64 ||
			len(made.TokenID) != 22 || made.MaxTimestamp-made.IssueTimestamp != 604_800_000 || made.ExpiryTimestamp-made.IssueTimestamp != 86_400_000 {
			t.Errorf("create v%d: %+v", version, made)
		}
		both := min(version, 2)
		if code, expires := renewCode(ben, both, made.HMAC, 60_000); code != 0 || expires < made.IssueTimestamp+60_000 || expires > time.Now().UnixMilli()+70_000 {
			t.Errorf("renew v%d: code %d, expires %d", both, code, expires)
		}
		if code, expires := expireCode(ann, both, made.HMAC, -1); code != 0 || expires < made.IssueTimestamp {
			t.Errorf("expire v%d: code %d, %d", both, code, expires)
		}
	}

	one := x.makeToken(ann, createTokenRequest(3, "", "User:ben"))
	other := x.makeToken(admin, createTokenRequest(3, "ann"))
	if other.PrincipalName != "ann" || other.TokenRequesterPrincipalName != "admin" {
		t.Errorf("for ann, by admin: %+v", other)
	}
	for _, c := range []struct {
		what string
		who  *wire
		req  *kmsg.CreateDelegationTokenRequest
		want kproto.ErrorCode
	}{
		{"for somebody else", ann, createTokenRequest(3, "ben"), kproto.DelegationTokenAuthorizationFailed},
		{"for oneself by name", ann, createTokenRequest(3, "ann"), kproto.None},
		{"a renewer that is no user", ann, createTokenRequest(3, "", "Group:g"), kproto.InvalidPrincipalType},
		{"both", ann, createTokenRequest(3, "ben", "Group:g"), kproto.DelegationTokenAuthorizationFailed},
	} {
		r := askOn[*kmsg.CreateDelegationTokenResponse](c.who, c.req)
		wantCode(t, "create "+c.what, r.ErrorCode, c.want)
		if c.want != kproto.None && (r.IssueTimestamp != -1 || r.ExpiryTimestamp != -1 || r.MaxTimestamp != -1 || r.TokenID != "" || len(r.HMAC) != 0) {
			t.Errorf("create %s: %+v", c.what, r)
		}
	}
	for _, c := range []struct {
		what string
		do   func(*wire, int16, []byte, int64) (int16, int64)
		who  *wire
		hmac []byte
		want kproto.ErrorCode
	}{
		{"renew a stranger's", renewCode, ben, other.HMAC, kproto.DelegationTokenOwnerMismatch},
		{"expire a stranger's", expireCode, ben, other.HMAC, kproto.DelegationTokenOwnerMismatch},
		{"renew as who asked for it", renewCode, admin, other.HMAC, kproto.DelegationTokenOwnerMismatch},
		{"renew what is not there", renewCode, ann, []byte("nothing"), kproto.DelegationTokenNotFound},
		{"expire what is not there", expireCode, ann, nil, kproto.DelegationTokenNotFound},
	} {
		code, expires := c.do(c.who, 2, c.hmac, 1000)
		wantCode(t, c.what, code, c.want)
		if expires != 0 {
			t.Errorf("%s: expires %d", c.what, expires)
		}
	}

	sees := func(w *wire, id string, owners ...string) bool {
		return slices.Contains(described(x, w, owners...), id)
	}
	for _, c := range []struct {
		what string
		sees bool
		want bool
	}{
		{"the owner sees it", sees(ann, one.TokenID), true},
		{"a renewer sees it", sees(ben, one.TokenID), true},
		{"a stranger does not", sees(ben, other.TokenID), false},
		{"by owner", sees(ben, one.TokenID, "ann"), true},
		{"a renewer counts as an owner", sees(admin, one.TokenID, "ben"), true},
		{"by another owner", sees(admin, other.TokenID, "ben"), false},
		{"a super user sees all", sees(admin, other.TokenID), true},
	} {
		if c.sees != c.want {
			t.Errorf("%s: %t", c.what, c.sees)
		}
	}
	none := kmsg.NewPtrDescribeDelegationTokenRequest()
	none.Version, none.Owners = 3, []kmsg.DescribeDelegationTokenRequestOwner{}
	if r := askOn[*kmsg.DescribeDelegationTokenResponse](ann, none); r.ErrorCode != 0 || len(r.TokenDetails) != 0 {
		t.Errorf("of no owner: %+v", r)
	}
	if x.logs != nil && (strings.Contains(x.logs.String(), "s3cret") || strings.Contains(x.logs.String(), base64.StdEncoding.EncodeToString(one.HMAC))) {
		t.Error("a secret is in the log")
	}
}

// TestTokenRights: CREATE_TOKENS and DESCRIBE_TOKENS on a user, DESCRIBE on a token.
func TestTokenRights(t *testing.T) {
	x := saslContract(t)
	admin, ben := x.as("admin", adminPassword), x.as("ben", benPassword)
	grant := func(kind kmsg.ACLResourceType, name string, op kmsg.ACLOperation) {
		t.Helper()
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType, c.Principal, c.Host = kind, name, kmsg.ACLResourcePatternTypeLiteral, "User:ben", "*"
		c.Operation, c.PermissionType = op, kmsg.ACLPermissionTypeAllow
		req := kmsg.NewPtrCreateACLsRequest()
		req.Version, req.Creations = 3, append(req.Creations, c)
		for _, r := range askOn[*kmsg.CreateACLsResponse](admin, req).Results {
			wantCode(t, "grant: "+deref(r.ErrorMessage), r.ErrorCode, kproto.None)
		}
		t.Cleanup(func() {
			del := kmsg.NewPtrDeleteACLsRequest()
			del.Version = 3
			del.Filters = append(del.Filters, kmsg.DeleteACLsRequestFilter{ResourceType: kind, ResourceName: &name, ResourcePatternType: kmsg.ACLResourcePatternTypeLiteral,
				Operation: op, PermissionType: kmsg.ACLPermissionTypeAllow})
			askOn[*kmsg.DeleteACLsResponse](admin, del)
		})
	}
	token := x.makeToken(x.as("ann", annPassword), createTokenRequest(3, ""))
	if slices.Contains(described(x, ben), token.TokenID) {
		t.Error("ben sees the token without a right")
	}
	grant(kmsg.ACLResourceTypeDelegationToken, token.TokenID, kmsg.ACLOperationDescribe)
	waittest.Until(t, 30*time.Second, "ben sees the token", func() bool { return slices.Contains(described(x, ben), token.TokenID) })
	second := x.makeToken(x.as("ann", annPassword), createTokenRequest(3, ""))
	if slices.Contains(described(x, ben), second.TokenID) {
		t.Error("ben sees another token")
	}
	grant(kmsg.ACLResourceTypeUser, "User:ann", kmsg.ACLOperationDescribeTokens)
	waittest.Until(t, 30*time.Second, "ben sees all of ann's tokens", func() bool { return slices.Contains(described(x, ben), second.TokenID) })
	grant(kmsg.ACLResourceTypeUser, "User:ann", kmsg.ACLOperationCreateTokens)
	waittest.Until(t, 30*time.Second, "ben makes a token for ann", func() bool {
		return askOn[*kmsg.CreateDelegationTokenResponse](ben, createTokenRequest(3, "ann")).ErrorCode == 0
	})
	if code := askOn[*kmsg.CreateDelegationTokenResponse](ben, createTokenRequest(3, "admin")).ErrorCode; code != int16(kproto.DelegationTokenAuthorizationFailed) {
		t.Errorf("ben makes a token for admin: code %d", code)
	}
}

// TestTokenAuthentication: with a token a client is its owner, for as long as the token is good, and may not ask about tokens.
func TestTokenAuthentication(t *testing.T) {
	x := saslContract(t)
	ann, admin := x.as("ann", annPassword), x.as("admin", adminPassword)
	mayList := func(w *wire) int16 {
		req := kmsg.NewPtrDescribeClientQuotasRequest()
		req.Version = 1
		return askOn[*kmsg.DescribeClientQuotasResponse](w, req).ErrorCode
	}
	for _, c := range []struct {
		owner string
		by    *wire
		want  kproto.ErrorCode
	}{{"ann", ann, kproto.ClusterAuthorizationFailed}, {"admin", admin, kproto.None}} {
		token := x.makeToken(c.by, createTokenRequest(3, ""))
		w, resp := x.try(byToken(token.TokenID, token.HMAC))
		if resp.ErrorCode != 0 || resp.SessionLifetimeMillis <= 0 || resp.SessionLifetimeMillis > 86_400_000 {
			t.Fatalf("%s by token: %+v", c.owner, resp)
		}
		wantCode(t, "the rights of "+c.owner, mayList(w), c.want)
		made := askOn[*kmsg.CreateDelegationTokenResponse](w, createTokenRequest(3, ""))
		wantCode(t, "create", made.ErrorCode, kproto.DelegationTokenRequestNotAllowed)
		if made.PrincipalName != c.owner {
			t.Errorf("create as %s: %+v", c.owner, made)
		}
		code, expires := renewCode(w, 2, token.HMAC, -1)
		wantCode(t, "renew", code, kproto.DelegationTokenRequestNotAllowed)
		if expires != -1 {
			t.Errorf("renew: expires %d", expires)
		}
		code, _ = expireCode(w, 2, token.HMAC, -1)
		wantCode(t, "expire", code, kproto.DelegationTokenRequestNotAllowed)
		describe := kmsg.NewPtrDescribeDelegationTokenRequest()
		describe.Version = 3
		wantCode(t, "describe", askOn[*kmsg.DescribeDelegationTokenResponse](w, describe).ErrorCode, kproto.DelegationTokenRequestNotAllowed)

		for what, m := range map[string]sasl.Mechanism{
			"another password": byToken(token.TokenID, bytes.Repeat([]byte{7}, 64)),
			"another id":       byToken("AAAAAAAAAAAAAAAAAAAAAA", token.HMAC),
			"not as a token":   scram.Auth{User: token.TokenID, Pass: base64.StdEncoding.EncodeToString(token.HMAC)}.AsSha256Mechanism(),
		} {
			_, resp := x.try(m)
			wantCode(t, what, resp.ErrorCode, kproto.SaslAuthenticationFailed)
		}
		if code, _ := expireCode(c.by, 2, token.HMAC, -1); code != 0 {
			t.Fatalf("expire: code %d", code)
		}
		waittest.Until(t, 30*time.Second, "the token is not taken any more", func() bool {
			_, resp := x.try(byToken(token.TokenID, token.HMAC))
			return resp.ErrorCode == int16(kproto.SaslAuthenticationFailed)
		})
	}
}

// TestTokenLifetime: a connection by a token ends with the token, whatever connections.max.reauth.ms says.
func TestTokenLifetime(t *testing.T) {
	x := saslContract(t)
	ann := x.as("ann", annPassword)
	req := createTokenRequest(3, "")
	req.MaxLifetimeMillis = 2000
	token := x.makeToken(ann, req)
	w, resp := x.try(byToken(token.TokenID, token.HMAC))
	if resp.ErrorCode != 0 || resp.SessionLifetimeMillis <= 0 || resp.SessionLifetimeMillis > 2000 {
		t.Fatalf("by token: %+v", resp)
	}
	waittest.Until(t, 30*time.Second, "the connection is ended", func() bool {
		w.send(frame(metadataRequest(12), 1))
		_, _, err := w.receive()
		return err != nil
	})
	if now := time.Now().UnixMilli(); now < token.ExpiryTimestamp {
		t.Errorf("ended %d ms too early", token.ExpiryTimestamp-now)
	}
	waittest.Until(t, 30*time.Second, "it cannot be renewed", func() bool { // its last millisecond belongs to it
		code, _ := renewCode(ann, 2, token.HMAC, -1)
		return code == int16(kproto.DelegationTokenExpired) || code == int16(kproto.DelegationTokenNotFound)
	})
}

// askEverythingOfTokens returns the codes of all four requests.
func askEverythingOfTokens(w *wire) []kproto.ErrorCode {
	renew, _ := renewCode(w, 2, []byte("x"), -1)
	expire, _ := expireCode(w, 2, []byte("x"), -1)
	describe := kmsg.NewPtrDescribeDelegationTokenRequest()
	describe.Version = 3
	return []kproto.ErrorCode{
		kproto.ErrorCode(askOn[*kmsg.CreateDelegationTokenResponse](w, createTokenRequest(3, "")).ErrorCode), kproto.ErrorCode(renew), kproto.ErrorCode(expire),
		kproto.ErrorCode(askOn[*kmsg.DescribeDelegationTokenResponse](w, describe).ErrorCode),
	}
}

// TestTokensOfNobody: a client that has not said who it is may not ask for tokens.
func TestTokensOfNobody(t *testing.T) {
	for i, code := range askEverythingOfTokens(contract(t).dial()) {
		if code != kproto.DelegationTokenRequestNotAllowed {
			t.Errorf("request %d: %v", 38+i, code)
		}
	}
}

// TestTokensDisabled: without a secret key there are none.
func TestTokensDisabled(t *testing.T) {
	x := &saslTarget{t: t, addr: os.Getenv("RINGMQ_CONTRACT_SASL_NO_TOKENS")}
	if x.addr == "" {
		x.addr = startSASL(t).open
	}
	for i, code := range askEverythingOfTokens(x.as("ann", annPassword)) {
		if code != kproto.DelegationTokenAuthDisabled {
			t.Errorf("request %d: %v", 38+i, code)
		}
	}
}
