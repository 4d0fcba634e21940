package engine

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
)

// DescribeUserScramCredentials (key 50) 0, AlterUserScramCredentials (key 51) 0: what is kept of the passwords of SCRAM is in the metadata (KIP-554).
// Nothing that is shown of them lets anybody in.

func describeScram(r *request) {
	req, img := r.body.(*kmsg.DescribeUserSCRAMCredentialsRequest), r.broker.node.Image()
	resp := kmsg.NewPtrDescribeUserSCRAMCredentialsResponse()
	resp.Results = []kmsg.DescribeUserSCRAMCredentialsResponseResult{}
	var users []string
	for _, u := range req.Users {
		users = append(users, u.Name)
	}
	if len(users) == 0 {
		kraft.ScramUsers(img, func(user string) bool {
			users = append(users, user)
			return true
		})
	}
	count := make(map[string]int)
	for _, user := range users {
		count[user]++
	}
	for _, user := range users {
		if count[user] == 0 {
			continue // answered
		}
		out := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		out.User, out.CredentialInfos = user, []kmsg.DescribeUserSCRAMCredentialsResponseResultCredentialInfo{}
		fail := func(code kproto.ErrorCode, message string) { out.ErrorCode, out.ErrorMessage = int16(code), &message }
		for _, m := range kraft.ScramMechanisms {
			if c, ok := kraft.Scram(img, user, m); ok {
				info := kmsg.NewDescribeUserSCRAMCredentialsResponseResultCredentialInfo()
				info.Mechanism, info.Iterations = int8(m), c.Iterations
				out.CredentialInfos = append(out.CredentialInfos, info)
			}
		}
		switch {
		case count[user] > 1:
			out.CredentialInfos = []kmsg.DescribeUserSCRAMCredentialsResponseResultCredentialInfo{}
			fail(kproto.DuplicateResource, "Cannot describe SCRAM credentials for the same user twice in a single request: "+user)
		case len(out.CredentialInfos) == 0:
			fail(kproto.ResourceNotFound, "Attempt to describe a user credential that does not exist: "+user)
		}
		count[user] = 0
		resp.Results = append(resp.Results, out)
	}
	r.reply(resp)
}

func alterScram(r *request) {
	req, b := r.body.(*kmsg.AlterUserSCRAMCredentialsRequest), r.broker
	ctx, cancel := context.WithTimeout(b.ctx, b.cfg.Quorum.RequestTimeout)
	defer cancel()
	answer, code, message := b.forward(ctx, req)
	if code != kproto.None {
		resp := kmsg.NewPtrAlterUserSCRAMCredentialsResponse()
		failScram(req, resp, code, message)
		r.reply(resp)
		return
	}
	for _, u := range answer.(*kmsg.AlterUserSCRAMCredentialsResponse).Results {
		if u.ErrorCode == 0 {
			b.log.Info("SCRAM credentials changed", "user", u.User, "principal", r.conn.principal)
		}
	}
	r.reply(answer)
}

func failScram(req *kmsg.AlterUserSCRAMCredentialsRequest, resp *kmsg.AlterUserSCRAMCredentialsResponse, code kproto.ErrorCode, message string) {
	seen := make(map[string]bool)
	fail := func(user string) {
		if seen[user] {
			return
		}
		seen[user] = true
		out := kmsg.NewAlterUserSCRAMCredentialsResponseResult()
		out.User, out.ErrorCode, out.ErrorMessage = user, int16(code), &message
		resp.Results = append(resp.Results, out)
	}
	for _, d := range req.Deletions {
		fail(d.Name)
	}
	for _, u := range req.Upsertions {
		fail(u.Name)
	}
}
