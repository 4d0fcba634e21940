package engine

import (
	"context"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/engine/tlsconf"
	"github.com/ringmq/ringmq/kraft"
)

// CreateDelegationToken (key 38) 1 to 3, RenewDelegationToken (key 39) and ExpireDelegationToken (key 40) 1 to 2, DescribeDelegationToken (key 41) 1 to 3: the
// controller gives tokens out (KIP-48), brokers know them from the metadata (tokens.go). v3 has tokens for others than the one who asks.
//
// What the guards do for other APIs is done here: it comes behind the look at the connection, and needs what the request says.

// Short names of what may be done with the tokens of a user.
const (
	opCreateTokens   = kmsg.ACLOperationCreateTokens
	opDescribeTokens = kmsg.ACLOperationDescribeTokens
)

// noTime is what answers have for a time when there is no token.
const noTime = -1

// mayAskForTokens says whether the connection may say anything about tokens: its client must be known, and not by a token itself.
func (r *request) mayAskForTokens() bool {
	st := r.conn
	switch {
	case st.auth != nil:
		return !st.auth.byToken
	case st.conn.TLS() != nil:
		return st.principal != userType+tlsconf.Anonymous
	}
	return false
}

func createToken(r *request) {
	req := r.body.(*kmsg.CreateDelegationTokenRequest)
	owner := r.conn.principal
	if req.OwnerPrincipalName != nil && *req.OwnerPrincipalName != "" && req.OwnerPrincipalType != nil {
		owner = *req.OwnerPrincipalType + ":" + *req.OwnerPrincipalName
	}
	failed := func(code kproto.ErrorCode) kmsg.Response {
		resp := kmsg.NewPtrCreateDelegationTokenResponse()
		resp.ErrorCode, resp.IssueTimestamp, resp.ExpiryTimestamp, resp.MaxTimestamp = int16(code), noTime, noTime, noTime
		resp.PrincipalType, resp.PrincipalName, _ = strings.Cut(owner, ":")
		resp.TokenRequesterPrincipalType, resp.TokenRequesterPrincipalName, _ = strings.Cut(r.conn.principal, ":")
		return resp
	}
	switch a := r.conn.asker(r.broker); {
	case !r.mayAskForTokens():
		r.reply(failed(kproto.DelegationTokenRequestNotAllowed))
		return
	case owner != r.conn.principal && !a.by.Allowed(a.who, opCreateTokens, kmsg.ACLResourceTypeUser, owner):
		r.reply(failed(kproto.DelegationTokenAuthorizationFailed))
		return
	}
	for _, p := range req.Renewers {
		if p.PrincipalType+":" != userType {
			r.reply(failed(kproto.InvalidPrincipalType))
			return
		}
	}
	answer := r.changeToken(failed)
	if made, ok := answer.(*kmsg.CreateDelegationTokenResponse); ok && made.ErrorCode == 0 {
		r.broker.log.Info("delegation token created", "token", made.TokenID, "owner", owner, "principal", r.conn.principal)
	}
	r.reply(answer)
}

func renewToken(r *request) {
	r.changeExpiry(func(code kproto.ErrorCode) kmsg.Response {
		resp := kmsg.NewPtrRenewDelegationTokenResponse()
		resp.ErrorCode, resp.ExpiryTimestamp = int16(code), noTime
		return resp
	})
}

func expireToken(r *request) {
	r.changeExpiry(func(code kproto.ErrorCode) kmsg.Response {
		resp := kmsg.NewPtrExpireDelegationTokenResponse()
		resp.ErrorCode, resp.ExpiryTimestamp = int16(code), noTime
		return resp
	})
}

func (r *request) changeExpiry(failed func(kproto.ErrorCode) kmsg.Response) {
	if !r.mayAskForTokens() {
		r.reply(failed(kproto.DelegationTokenRequestNotAllowed))
		return
	}
	r.reply(r.changeToken(failed))
}

// changeToken has the controller serve the request on behalf of the connection's client. failed makes the answer when it does not.
func (r *request) changeToken(failed func(kproto.ErrorCode) kmsg.Response) kmsg.Response {
	b := r.broker
	ctx, cancel := context.WithTimeout(b.ctx, b.cfg.Quorum.RequestTimeout)
	defer cancel()
	answer, code, _ := b.forward(kraft.AskedBy(ctx, kraft.Asker{Principal: r.conn.principal}), r.body)
	if code != kproto.None {
		return failed(code)
	}
	return answer
}

func describeTokens(r *request) {
	req, b := r.body.(*kmsg.DescribeDelegationTokenRequest), r.broker
	resp := kmsg.NewPtrDescribeDelegationTokenResponse()
	resp.TokenDetails = []kmsg.DescribeDelegationTokenResponseTokenDetail{}
	switch {
	case !r.mayAskForTokens():
		resp.ErrorCode = int16(kproto.DelegationTokenRequestNotAllowed)
	case len(b.cfg.Tokens.Secret) == 0:
		resp.ErrorCode = int16(kproto.DelegationTokenAuthDisabled)
	case req.Owners == nil || len(req.Owners) > 0: // an empty list asks for none
		kraft.EveryToken(b.node.Image(), func(t kraft.Token) bool {
			if r.maySeeToken(req.Owners, t) {
				resp.TokenDetails = append(resp.TokenDetails, b.tokenDetail(t))
			}
			return true
		})
	}
	r.reply(resp)
}

// maySeeToken says whether a token is one of those that are asked for (nil: all), and the client may see it: as its owner, as a renewer, or by right.
func (r *request) maySeeToken(owners []kmsg.DescribeDelegationTokenRequestOwner, t kraft.Token) bool {
	asked := owners == nil
	for _, o := range owners {
		asked = asked || t.For(o.PrincipalType+":"+o.PrincipalName)
	}
	a := r.conn.asker(r.broker)
	return asked && (t.For(r.conn.principal) || a.by.Allowed(a.who, opDescribe, kmsg.ACLResourceTypeDelegationToken, t.ID) ||
		a.by.Allowed(a.who, opDescribeTokens, kmsg.ACLResourceTypeUser, t.Owner))
}

func (b *Broker) tokenDetail(t kraft.Token) kmsg.DescribeDelegationTokenResponseTokenDetail {
	d := kmsg.NewDescribeDelegationTokenResponseTokenDetail()
	d.PrincipalType, d.PrincipalName, _ = strings.Cut(t.Owner, ":")
	d.TokenRequesterPrincipalType, d.TokenRequesterPrincipalName, _ = strings.Cut(t.Requester, ":")
	d.IssueTimestamp, d.ExpiryTimestamp, d.MaxTimestamp = t.Issued, t.Expires, t.Max
	d.TokenID, d.HMAC = t.ID, kraft.TokenHMAC(b.cfg.Tokens.Secret, t.ID)
	d.Renewers = []kmsg.DescribeDelegationTokenResponseTokenDetailRenewer{}
	for _, p := range t.Renewers {
		out := kmsg.NewDescribeDelegationTokenResponseTokenDetailRenewer()
		out.PrincipalType, out.PrincipalName, _ = strings.Cut(p, ":")
		d.Renewers = append(d.Renewers, out)
	}
	return d
}
