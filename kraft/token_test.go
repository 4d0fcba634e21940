package kraft

import (
	"bytes"
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/kraft/internal/snapfile"
)

// as has a request served on behalf of a principal.
func (h *harness) as(principal string, req kmsg.Request) kmsg.Response {
	h.t.Helper()
	resp, _, err := h.ctl.do(AskedBy(context.Background(), Asker{Principal: principal}), req)
	if err != nil {
		h.t.Fatalf("%T: %v", req, err)
	}
	return resp
}

func tokenHarness(t *testing.T) *harness {
	return kafkaHarness(t, func(o *Options) {
		o.Tokens = TokenOptions{Secret: []byte("secret"), MaxLifetime: time.Hour, ExpiryTime: 10 * time.Minute, CheckInterval: time.Minute}
	})
}

func (h *harness) newToken(principal string, lifetime int64, renewers ...string) *kmsg.CreateDelegationTokenResponse {
	req := kmsg.NewPtrCreateDelegationTokenRequest()
	req.MaxLifetimeMillis = lifetime
	for _, r := range renewers {
		req.Renewers = append(req.Renewers, kmsg.CreateDelegationTokenRequestRenewer{PrincipalType: "User", PrincipalName: r})
	}
	return h.as(principal, req).(*kmsg.CreateDelegationTokenResponse)
}

func (h *harness) renew(principal string, hmac []byte, period int64) (code int16, expires int64) {
	req := kmsg.NewPtrRenewDelegationTokenRequest()
	req.HMAC, req.RenewTimeMillis = hmac, period
	r := h.as(principal, req).(*kmsg.RenewDelegationTokenResponse)
	return r.ErrorCode, r.ExpiryTimestamp
}

func (h *harness) expire(principal string, hmac []byte, period int64) (code int16, expires int64) {
	req := kmsg.NewPtrExpireDelegationTokenRequest()
	req.HMAC, req.ExpiryPeriodMillis = hmac, period
	r := h.as(principal, req).(*kmsg.ExpireDelegationTokenResponse)
	return r.ErrorCode, r.ExpiryTimestamp
}

// TestTokenLife: who may renew and expire a token, and for how long.
func TestTokenLife(t *testing.T) {
	h := tokenHarness(t)
	now := h.now.UnixMilli()
	const minute, hour = int64(60_000), int64(3_600_000)
	long, short := h.newToken("User:ann", -1, "ben"), h.newToken("User:ann", 2*minute)
	if long.ErrorCode != 0 || long.IssueTimestamp != now || long.MaxTimestamp != now+hour || long.ExpiryTimestamp != now+10*minute || len(long.HMAC) != 64 ||
		long.PrincipalName != "ann" || long.TokenRequesterPrincipalName != "ann" {
		t.Errorf("created %+v", long)
	}
	if short.MaxTimestamp != now+2*minute || short.ExpiryTimestamp != now+2*minute {
		t.Errorf("created %+v for two minutes", short)
	}
	if more := h.newToken("User:ann", 2*hour); more.MaxTimestamp != now+hour {
		t.Errorf("a lifetime beyond the limit: %+v", more)
	}
	for _, c := range []struct {
		what    string
		do      func(string, []byte, int64) (int16, int64)
		who     string
		hmac    []byte
		period  int64
		code    int16
		expires int64
	}{
		{"the owner renews", h.renew, "User:ann", long.HMAC, -1, 0, now + 10*minute},
		{"a renewer renews", h.renew, "User:ben", long.HMAC, minute, 0, now + minute},
		{"beyond the limit", h.renew, "User:ann", long.HMAC, hour, 0, now + 10*minute},
		{"beyond the end", h.renew, "User:ann", short.HMAC, 5 * minute, 0, now + 2*minute},
		{"a stranger renews", h.renew, "User:cat", long.HMAC, -1, kafkaTokenOwnerMismatch, 0},
		{"an unknown token", h.renew, "User:ann", []byte("nothing"), -1, kafkaTokenNotFound, 0},
		{"a stranger expires", h.expire, "User:ben", short.HMAC, -1, kafkaTokenOwnerMismatch, 0},
		{"expires later", h.expire, "User:ann", long.HMAC, 3 * minute, 0, now + 3*minute},
		{"for ever", h.expire, "User:ann", long.HMAC, 1<<63 - 1, 0, now + hour},
		{"at once", h.expire, "User:ben", long.HMAC, -1, 0, now},
		{"once more", h.expire, "User:ben", long.HMAC, -1, kafkaTokenNotFound, 0},
		{"nobody", h.expire, "", short.HMAC, -1, kafkaTokenNotAllowed, 0},
	} {
		if code, expires := c.do(c.who, c.hmac, c.period); code != c.code || expires != c.expires {
			t.Errorf("%s: code %d, expires %d, want %d, %d", c.what, code, expires, c.code, c.expires)
		}
	}
	if _, ok := TokenOf(h.image(), long.TokenID); ok {
		t.Error("an expired token is still there")
	}
	h.now = h.now.Add(2*time.Minute + time.Millisecond)
	if code, _ := h.renew("User:ann", short.HMAC, -1); code != kafkaTokenExpired {
		t.Errorf("renewed after its end: code %d", code)
	}
	if code, _ := h.expire("User:ann", short.HMAC, 1); code != kafkaTokenExpired {
		t.Errorf("prolonged after its end: code %d", code)
	}
}

// TestTokensForOthers: a token may be made for somebody else, who then owns it; renewers are users.
func TestTokensForOthers(t *testing.T) {
	h := tokenHarness(t)
	req := kmsg.NewPtrCreateDelegationTokenRequest()
	user, ann := "User", "ann"
	req.OwnerPrincipalType, req.OwnerPrincipalName = &user, &ann
	made := h.as("User:admin", req).(*kmsg.CreateDelegationTokenResponse)
	token, ok := TokenOf(h.image(), made.TokenID)
	if !ok || token.Owner != "User:ann" || token.Requester != "User:admin" || !bytes.Equal(made.HMAC, TokenHMAC([]byte("secret"), made.TokenID)) {
		t.Errorf("made %+v, kept %+v", made, token)
	}
	if code, _ := h.renew("User:admin", made.HMAC, -1); code != kafkaTokenOwnerMismatch {
		t.Errorf("who asked for it renewed it: code %d", code)
	}
	req.Renewers = []kmsg.CreateDelegationTokenRequestRenewer{{PrincipalType: "Group", PrincipalName: "g"}}
	if code := h.as("User:admin", req).(*kmsg.CreateDelegationTokenResponse).ErrorCode; code != kafkaInvalidPrincipalType {
		t.Errorf("a group as a renewer: code %d", code)
	}
	off := kafkaHarness(t)
	if code := off.newToken("User:ann", -1).ErrorCode; code != kafkaTokensDisabled {
		t.Errorf("without a secret: code %d", code)
	}
}

// TestTokensInSnapshots: what a snapshot has of tokens is all, and another controller that begins with it finds them by their passwords.
func TestTokensInSnapshots(t *testing.T) {
	h := tokenHarness(t)
	made := h.newToken("User:ann and co", -1, "b,c", "d:e")
	var file bytes.Buffer
	if err := snapfile.Write(&file, testCluster, h.image()); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(file.Bytes(), made.HMAC) {
		t.Error("the snapshot holds the password")
	}
	img, _, err := snapfile.Read(&file)
	if err != nil {
		t.Fatal(err)
	}
	have, _ := TokenOf(img, made.TokenID)
	want := Token{ID: made.TokenID, Owner: "User:ann and co", Requester: "User:ann and co", Renewers: []string{"User:b,c", "User:d:e"},
		Issued: made.IssueTimestamp, Max: made.MaxTimestamp, Expires: made.ExpiryTimestamp}
	if !reflect.DeepEqual(have, want) {
		t.Errorf("from the snapshot: %+v, want %+v", have, want)
	}
	h.ctl.deactivate()
	h.ctl.activate(1, img)
	if code, _ := h.renew("User:d:e", made.HMAC, -1); code != 0 {
		t.Errorf("renewed at the next controller: code %d", code)
	}
}

// TestTokenSweep: tokens whose time is over are forgotten by the controller's check, all of them and no others.
func TestTokenSweep(t *testing.T) {
	h := tokenHarness(t)
	h.ctl.housekeeping()
	const many = maxTokenSweep + 50
	for range many {
		h.newToken("User:ann", 30_000)
	}
	last := h.newToken("User:ann", -1)
	count := func() (n int) {
		EveryToken(h.image(), func(Token) bool { n++; return true })
		return n
	}
	for _, step := range []struct {
		after time.Duration
		left  int
	}{{31 * time.Second, many + 1}, {29 * time.Second, many + 1 - maxTokenSweep}, {0, 1}, {5 * time.Minute, 1}, {5 * time.Minute, 0}} {
		h.now = h.now.Add(step.after)
		h.ctl.housekeeping()
		if n := count(); n != step.left {
			t.Fatalf("%v later: %d tokens, want %d", step.after, n, step.left)
		}
	}
	if code, _ := h.renew("User:ann", last.HMAC, -1); code != kafkaTokenNotFound {
		t.Errorf("a forgotten token: code %d", code)
	}
	if n := len(h.ctl.mu.tokens.hashes) + len(h.ctl.mu.tokens.ids); n != 0 {
		t.Errorf("%d entries of the index are left", n)
	}
}
