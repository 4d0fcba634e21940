package engine

import (
	"context"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ringmq/ringmq/engine/kproto"
	"github.com/ringmq/ringmq/kraft"
)

// DescribeClientQuotas (key 48) 0 to 1, AlterClientQuotas (key 49) 0 to 1 (KIP-546): quotas are kept in the metadata; quotas.go enforces them.

// Match types of a filter.
const (
	matchExact     = 0
	matchDefault   = 1
	matchSpecified = 2
)

func describeQuotas(r *request) {
	req := r.body.(*kmsg.DescribeClientQuotasRequest)
	resp := kmsg.NewPtrDescribeClientQuotasResponse()
	filter, code, message := quotaFilterOf(req)
	if code != kproto.None {
		resp.ErrorCode, resp.ErrorMessage = int16(code), &message
		r.reply(resp)
		return
	}
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	kraft.Quotas(r.broker.node.Image(), func(e kraft.QuotaEntity, values map[string]float64) bool {
		if filter.matches(e) {
			resp.Entries = append(resp.Entries, describedQuota(e, values))
		}
		return true
	})
	r.reply(resp)
}

// quotaFilter is what an entity must have: parts with a certain name (nil: the default), and parts with any.
type quotaFilter struct {
	exact  map[string]*string
	some   map[string]bool
	strict bool // and no others
}

func quotaFilterOf(req *kmsg.DescribeClientQuotasRequest) (f quotaFilter, code kproto.ErrorCode, message string) {
	bad := func(message string) (quotaFilter, kproto.ErrorCode, string) { return f, kproto.InvalidRequest, message }
	f = quotaFilter{exact: make(map[string]*string), some: make(map[string]bool), strict: req.Strict}
	for i := range req.Components {
		c := &req.Components[i]
		_, twice := f.exact[c.EntityType]
		switch {
		case c.EntityType == "":
			return bad("Invalid empty entity type.")
		case twice || f.some[c.EntityType]:
			return bad("Entity type " + c.EntityType + " cannot appear more than once in the filter.")
		case c.EntityType != kraft.QuotaUser && c.EntityType != kraft.QuotaClientID && c.EntityType != kraft.QuotaIP:
			return f, kproto.UnsupportedVersion, "Unsupported entity type " + c.EntityType
		case c.MatchType == matchExact && c.Match == nil:
			return bad("Request specified MATCH_TYPE_EXACT, but set match string to null.")
		case c.MatchType == matchDefault && c.Match != nil:
			return bad("Request specified MATCH_TYPE_DEFAULT, but also specified a match string.")
		case c.MatchType == matchSpecified && c.Match != nil:
			return bad("Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.")
		}
		switch c.MatchType {
		case matchExact, matchDefault:
			f.exact[c.EntityType] = c.Match
		case matchSpecified:
			f.some[c.EntityType] = true
		default:
			return bad("Unknown match type " + strconv.Itoa(int(c.MatchType)))
		}
	}
	if _, exact := f.exact[kraft.QuotaIP]; (exact || f.some[kraft.QuotaIP]) && len(f.exact)+len(f.some) > 1 {
		return bad("Invalid entity filter component combination, IP filter component should not be used with user or clientId filter component.")
	}
	return f, kproto.None, ""
}

func (f *quotaFilter) matches(e kraft.QuotaEntity) bool {
	if f.strict && len(e) != len(f.exact)+len(f.some) {
		return false
	}
	for kind, want := range f.exact {
		name, ok := e[kind]
		if !ok || (name == nil) != (want == nil) || name != nil && *name != *want {
			return false
		}
	}
	for kind := range f.some {
		if _, ok := e[kind]; !ok {
			return false
		}
	}
	return true
}

func describedQuota(e kraft.QuotaEntity, values map[string]float64) kmsg.DescribeClientQuotasResponseEntry {
	out := kmsg.NewDescribeClientQuotasResponseEntry()
	for _, kind := range []string{kraft.QuotaUser, kraft.QuotaClientID, kraft.QuotaIP} {
		if name, ok := e[kind]; ok {
			part := kmsg.NewDescribeClientQuotasResponseEntryEntity()
			part.Type, part.Name = kind, name
			out.Entity = append(out.Entity, part)
		}
	}
	for key, value := range values {
		v := kmsg.NewDescribeClientQuotasResponseEntryValue()
		v.Key, v.Value = key, value
		out.Values = append(out.Values, v)
	}
	return out
}

func alterQuotas(r *request) {
	req, b := r.body.(*kmsg.AlterClientQuotasRequest), r.broker
	ctx, cancel := context.WithTimeout(b.ctx, b.cfg.Quorum.RequestTimeout)
	defer cancel()
	answer, code, message := b.forward(ctx, req)
	if code != kproto.None {
		resp := kmsg.NewPtrAlterClientQuotasResponse()
		failQuotas(req, resp, code, message)
		r.reply(resp)
		return
	}
	if !req.ValidateOnly {
		for i, e := range answer.(*kmsg.AlterClientQuotasResponse).Entries {
			if e.ErrorCode == 0 {
				b.log.Info("quotas changed", "entity", quotaText(&req.Entries[i]), "principal", r.conn.principal)
			}
		}
	}
	r.reply(answer)
}

// quotaText names an entity and what is done to it, for people.
func quotaText(e *kmsg.AlterClientQuotasRequestEntry) string {
	text := ""
	for _, p := range e.Entity {
		name := "<default>"
		if p.Name != nil {
			name = strconv.Quote(*p.Name)
		}
		text += p.Type + "=" + name + " "
	}
	for _, op := range e.Ops {
		if op.Remove {
			text += "-" + op.Key + " "
		} else {
			text += op.Key + "=" + strconv.FormatFloat(op.Value, 'g', -1, 64) + " "
		}
	}
	return text[:max(len(text)-1, 0)]
}

func failQuotas(req *kmsg.AlterClientQuotasRequest, resp *kmsg.AlterClientQuotasResponse, code kproto.ErrorCode, message string) {
	resp.Entries = []kmsg.AlterClientQuotasResponseEntry{}
	for i := range req.Entries {
		out := kmsg.NewAlterClientQuotasResponseEntry()
		out.ErrorCode, out.ErrorMessage = int16(code), &message
		for _, part := range req.Entries[i].Entity {
			p := kmsg.NewAlterClientQuotasResponseEntryEntity()
			p.Type, p.Name = part.Type, part.Name
			out.Entity = append(out.Entity, p)
		}
		resp.Entries = append(resp.Entries, out)
	}
}
